"""Helpers for the tests of projects that queue tasks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from django.core.management import call_command
from django.db import connections

from django_toosimple_q import signals
from django_toosimple_q.databases import is_aborted
from django_toosimple_q.masking import arguments_of, masked
from django_toosimple_q.models import ConcurrencyKey, TaskExec
from django_toosimple_q.payload import Unreadable
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.task import Task


def run_queued(*queues: str, on_commit: bool = False) -> list[TaskExec]:
    """Run what is queued or due, inline, and return the finished rows in the order they ran.

    It runs in the calling thread and on its connection, so inside a TestCase's transaction and
    under a frozen clock. Schedules are ignored, and no rate limit keeps a call waiting. Name
    queues to run these only.

    Inside a transaction each task runs in a savepoint. A task that breaks the transaction, as a
    query that fails does on PostgreSQL, is FAILED, and what it wrote is rolled back.

    A TestCase never commits, so what is registered with `transaction.on_commit()` never runs. With
    `on_commit` it runs: what the test has registered before the first task, and what a task
    registers after that task, as it would in a worker.
    """
    before = set(_finished().values_list("pk", flat=True))
    ended, more = len(before), True
    with _Savepoints(on_commit).around_tasks():
        if on_commit:
            _run_on_commit()
        while more:
            ConcurrencyKey.objects.update(used_until=None)
            call_command(
                "worker", "--until_done", "--no_schedules", *(f"--queue={name}" for name in queues)
            )
            more = ConcurrencyKey.objects.exists() and _finished().count() > ended
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
    args, kwargs = masked(definition, args, kwargs)
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


class _Savepoints:
    """Keeps a test's transaction usable, whatever the task that runs in it does."""

    def __init__(self, on_commit: bool) -> None:
        self.on_commit = on_commit
        # The connection, its savepoint, and how many callbacks there were before the task.
        self.begun: list[tuple[Any, str, int]] = []

    @contextmanager
    def around_tasks(self) -> Iterator[None]:
        signals.task_started.connect(self.begin)
        signals.task_finished.connect(self.end)
        try:
            yield
        finally:
            signals.task_started.disconnect(self.begin)
            signals.task_finished.disconnect(self.end)

    def begin(self, **kwargs: Any) -> None:
        opened: Sequence[Any] = connections.all(initialized_only=True)
        self.begun = [
            (connection, connection.savepoint(), len(connection.run_on_commit))
            for connection in opened
            if connection.in_atomic_block
        ]

    def end(self, **kwargs: Any) -> None:
        for connection, savepoint, callbacks in self.begun:
            if connection.needs_rollback or is_aborted(connection):
                # Asked for first: a connection that needs it takes no other statement.
                connection.needs_rollback = False
                connection.savepoint_rollback(savepoint)
                del connection.run_on_commit[callbacks:]
            connection.savepoint_commit(savepoint)
        self.begun = []
        if self.on_commit:
            _run_on_commit()


def _run_on_commit() -> None:
    """Run what waits for the commit of the transactions that are open."""
    opened: Sequence[Any] = connections.all(initialized_only=True)
    for connection in opened:
        while connection.run_on_commit:
            _, callback, robust = connection.run_on_commit.pop(0)
            with suppress(Exception) if robust else nullcontext():
                callback()


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
    args, kwargs = arguments_of(row)
    return f"args={args!r} kwargs={kwargs!r} state={row.state}"
