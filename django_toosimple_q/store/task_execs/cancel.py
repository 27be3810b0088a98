"""Take calls back: one that waits at once, one that runs when its task heeds it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django_toosimple_q.models import TaskExec
from django_toosimple_q.notify import announce_done, sender
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.step import statement, step

States = TaskExec.States


@step
def cancel(connection: Any, pk: int, reason: str, now: datetime) -> str | None:
    """Cancel a call and return the state it was found in, or None when it had ended already.

    A waiting row becomes INTERRUPTED; a running one is marked, and its task is told at the next
    heartbeat of its worker.
    """
    rows = TaskExec.objects.using(connection.alias).filter(pk=pk)
    waiting = rows.filter(state__in=[States.SLEEPING, States.QUEUED])
    if waiting.update(state=States.INTERRUPTED, unique_key=None, finished=now, error=reason):
        announce_done(connection, sender(dialect_of(connection).family))
        return States.QUEUED
    if rows.filter(state=States.PROCESSING).update(cancelled=now):
        return States.PROCESSING
    return None


@statement
def cancelled(connection: Any, ids: Sequence[int]) -> list[int]:
    """Return those of the running rows that somebody has cancelled."""
    return cancelled_rows(connection, ids) if ids else []


def cancelled_rows(connection: Any, ids: Sequence[int]) -> list[int]:
    """Return those of the rows that somebody has cancelled, inside the caller's transaction."""
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids, cancelled__isnull=False)
    return list(rows.values_list("pk", flat=True))
