"""Tasks of a module that nothing imports by itself; the tests make it forget and import it."""

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task

from django_toosimple_q.contrib.tasks import task as our_task
from tests.contrib.tasks.moved import moved as moved


@task
def found(value):
    return value


@task(backend="any", queue_name="elsewhere")
def found_of_another_alias(value):
    return value


@our_task(on_interruption="hold")
def held_by_whoever_rescues(value):
    return value


def _implementation(value):
    return value


under_another_name = task(_implementation)


class Holder:
    @task
    def held(value):
        return value


def plain(value):
    raise AssertionError("no Django Task: never to be called")
