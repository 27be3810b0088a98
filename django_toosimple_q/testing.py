"""Helpers for the tests of projects that queue tasks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command

from django_toosimple_q.models import Lane, TaskExec
from django_toosimple_q.payload import Unreadable
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.task import Task


def run_queued(*queues: str) -> list[TaskExec]:
    """Run what is queued or due, inline, and return the finished rows in the order they ran.

    It runs in the calling thread and on its connection, so inside a TestCase's transaction and
    under a frozen clock. Schedules are left alone, and no rate limit keeps a call waiting. Name
    queues to run these only.
    """
    before = set(_finished().values_list("pk", flat=True))
    ended, more = len(before), True
    while more:
        Lane.objects.update(used_until=None)
        call_command(
            "worker", "--until_done", "--no_schedules", *(f"--queue={name}" for name in queues)
        )
        more = Lane.objects.exists() and _finished().count() > ended
        ended = _finished().count()
    return list(_finished().exclude(pk__in=before).order_by("finished", "pk"))


def queued(task: Any = None) -> list[TaskExec]:
    """Return the rows that wait (queued or sleeping), of one task when it is given."""
    rows = TaskExec.objects.filter(state__in=["SLEEPING", "QUEUED"]).order_by("pk")
    return list(rows if task is None else rows.filter(task_name=_task(task).name))


def assert_queued(task: Any, *args: Any, **kwargs: Any) -> TaskExec:
    """Return the waiting call of `task` with these arguments; raise AssertionError without one.

    Arguments are compared as the task receives them: `f(1)` and `f(x=1)` are the same call.
    """
    definition = _task(task)
    wanted = _bound(definition, args, kwargs)
    waiting = queued(task)
    for row in waiting:
        if (
            not isinstance(row.args, Unreadable)
            and _bound(definition, row.args, row.kwargs) == wanted
        ):
            return row
    calls = "\n".join(f"  {_call(row)}" for row in waiting) or "  none"
    raise AssertionError(
        f"{definition.name} is not queued with args={args!r} kwargs={kwargs!r}. "
        f"Its waiting calls:\n{calls}"
    )


def assert_not_queued(task: Any) -> None:
    """Raise AssertionError when a call of `task` waits."""
    waiting = queued(task)
    if waiting:
        calls = "\n".join(f"  {_call(row)}" for row in waiting)
        raise AssertionError(f"{_task(task).name} is queued:\n{calls}")


@contextmanager
def isolated_registries(*, empty: bool = True) -> Iterator[None]:
    """Let definitions made inside the block vanish with it; by default none exist inside."""
    registries: list[dict[str, Any]] = [tasks_registry, schedules_registry]
    kept = [dict(registry) for registry in registries]
    if empty:
        for registry in registries:
            registry.clear()
    try:
        yield
    finally:
        for registry, definitions in zip(registries, kept, strict=True):
            registry.clear()
            registry.update(definitions)


def _finished() -> Any:
    return TaskExec.objects.filter(state__in=TaskExec.States.done())


def _task(task: Any) -> Task[Any, Any]:
    definition = getattr(task, "task", task)
    if not isinstance(definition, Task):
        raise TypeError(
            f"expected a registered task, got {task!r}. Decorate it with register_task."
        )
    return definition


def _bound(task: Task[Any, Any], args: Any, kwargs: Any) -> dict[str, Any]:
    bound = task.bind(tuple(args), kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _call(row: TaskExec) -> str:
    return f"args={row.args!r} kwargs={row.kwargs!r} state={row.state}"
