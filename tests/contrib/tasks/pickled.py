"""A module whose task the tests pickle."""


def function():
    pass
