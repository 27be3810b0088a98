"""The app that the tests install next to the queue."""

from django.apps import AppConfig


class TestsAppConfig(AppConfig):
    name = "tests.app"
    label = "tests_app"

    def ready(self) -> None:
        from tests.app import hazards, sessions  # noqa: F401  (they register their tasks)
