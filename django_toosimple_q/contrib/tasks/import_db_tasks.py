"""Move what is still queued in the table of django-tasks-db to this queue."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import DatabaseError, router, transaction
from django.db.models import F

from django_toosimple_q.contrib.tasks.finder import resolve
from django_toosimple_q.contrib.tasks.framework import loaded
from django_toosimple_q.store.transaction import queue_connection

# The label that django-tasks-db has kept since it was a part of django-tasks.
MODEL = ("django_tasks_database", "DBTaskResult")
# How it writes that a task has no run_after.
NO_DATE_YEAR = 9999


@dataclass(frozen=True)
class Moved:
    """What became of a row: its new result id, or the reason why it stays where it is."""

    old_id: str
    path: str
    new_id: str | None = None
    reason: str | None = None


def their_model() -> Any:
    """Return the model of django-tasks-db's table. Raises LookupError when it is not installed."""
    return apps.get_model(*MODEL)


def move_queued(default_alias: str, *, dry_run: bool = False) -> Iterator[Moved]:
    """Move READY rows, highest priority first, and yield what became of each.

    A row is deleted there and enqueued here in one transaction, so that exactly one of the two
    queues has it. Between two databases it is enqueued before it is gone: a crash in that moment
    runs it twice, never not at all.
    """
    model = their_model()
    ready = model.objects.using(router.db_for_write(model)).filter(status="READY")
    for row in list(ready):
        known = {"old_id": str(row.pk), "path": row.task_path}
        try:
            backend, task = _target(row, default_alias)
            if dry_run:
                _rehearse(row, backend, task)
                yield Moved(**known)
            elif result := _move(row, ready, backend, task):
                yield Moved(**known, new_id=result.id)
        except DatabaseError:
            raise
        except Exception as error:  # a module runs as it is imported
            yield Moved(**known, reason=f"{type(error).__name__}: {error}")


def count_running() -> int:
    """Return how many rows a db_worker has taken and not finished."""
    model = their_model()
    return int(model.objects.using(router.db_for_write(model)).filter(status="RUNNING").count())


class _RollBack(Exception):
    """Undoes what a dry run has stored."""


def _rehearse(row: Any, backend: Any, task: Any) -> None:
    """Enqueue a row and undo that, so that a dry run raises what the real one would."""
    with suppress(_RollBack), transaction.atomic(using=queue_connection().alias):
        _store(row, backend, task)
        raise _RollBack


def _move(row: Any, ready: Any, backend: Any, task: Any) -> Any:
    """Return the new result, or None when a db_worker that still runs was faster."""
    with transaction.atomic(using=ready.db):
        # This locks the row while it is READY. A delete alone does not: where something listens to
        # post_delete, Django reads the row first and then deletes it whatever became of it.
        if not ready.filter(pk=row.pk).update(status=F("status")):
            return None
        ready.filter(pk=row.pk).delete()
        return _store(row, backend, task)


def _store(row: Any, backend: Any, task: Any) -> Any:
    return backend.store(task, row.args_kwargs["args"], row.args_kwargs["kwargs"])


def _target(row: Any, default_alias: str) -> tuple[Any, Any]:
    """Return the backend and the Task of a row. Raises when there is none."""
    found = resolve(row.task_path)
    for framework in loaded():
        if isinstance(found, framework.Task):
            alias = row.backend_name if framework.backend(row.backend_name) else default_alias
            backend = framework.backend(alias)
            if backend is None:
                raise LookupError(f"TASKS[{alias!r}] is no backend of this queue. Use --backend.")
            date = None if row.run_after.year == NO_DATE_YEAR else row.run_after
            settings = {"priority": row.priority, "queue_name": row.queue_name, "run_after": date}
            return backend, found.using(backend=alias, **settings)
    raise LookupError("there is no Django Task at this path any more.")
