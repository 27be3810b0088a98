"""Change calls that wait: when, where and how urgently they run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import aware
from django_toosimple_q.store.insert import announce_work
from django_toosimple_q.store.texts import TASK_QUEUES, refuse_unstorable
from django_toosimple_q.store.transaction import in_transaction

States = TaskExec.States
WAITING = (States.SLEEPING, States.QUEUED)


@dataclass(frozen=True)
class Change:
    """What becomes of a call that waits. None leaves a value as it is."""

    priority: int | None = None
    queue: str | None = None
    due: datetime | None = None

    def values(self, now: datetime) -> dict[str, Any]:
        """Return the columns to set."""
        given = {"priority": self.priority, "queue": self.queue, "due": self.due}
        found: dict[str, Any] = {name: one for name, one in given.items() if one is not None}
        if self.due is not None:
            later = aware(self.due) > aware(now)
            found["state"] = States.SLEEPING if later else States.QUEUED
        return found


@in_transaction
def reschedule(connection: Any, pk: int, change: Change, now: datetime) -> bool:
    """Change a call that waits, and wake the workers. Return False if it waits no more.

    Raises `UnstorableName` if the database cannot hold the name of the queue.
    """
    if change.queue is not None:
        refuse_unstorable(connection, change.queue, TASK_QUEUES)
    return _changed(connection, pk, WAITING, change.values(now))


@in_transaction
def run_now(connection: Any, pk: int, now: datetime) -> bool:
    """Let a call that is due later wait for a worker now. Return False if it is none."""
    return _changed(connection, pk, (States.SLEEPING,), Change(due=now).values(now))


def _changed(connection: Any, pk: int, states: Any, values: dict[str, Any]) -> bool:
    rows = TaskExec.objects.using(connection.alias).filter(pk=pk, state__in=states)
    changed = bool(values) and bool(rows.update(**values))
    if changed:
        announce_work(connection)
    return changed
