"""Cancel calls: a waiting one at once, a claimed one when its worker hears of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.execution import Cancellation
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.insert import announce_cancelled, announce_done
from django_toosimple_q.store.texts import storable
from django_toosimple_q.store.transaction import in_autocommit, in_transaction
from django_toosimple_q.text import clean

States = TaskExec.States

# How often a row may change hands between two statements.
TRIES = 10


class Cancelled(NamedTuple):
    """How many calls never begin, and how many were claimed, so that they were asked to stop."""

    cancelled: int
    asked: int


@in_transaction
def cancel(connection: Any, pk: int, reason: str, now: datetime) -> Cancellation:
    """Cancel a call, and return what that achieved.

    Only the row decides. A waiting one becomes INTERRUPTED, so no claim finds it. One that a worker
    has claimed is marked, and the workers are told.
    """
    found = cancel_rows(connection, [pk], reason, now)
    if found.cancelled:
        return Cancellation.CANCELLED
    return Cancellation.ASKED if found.asked else Cancellation.TOO_LATE


def cancel_rows(connection: Any, ids: Sequence[int], reason: str, now: datetime) -> Cancelled:
    """Cancel calls inside the caller's transaction, and return how many; see `cancel`."""
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids)
    waiting = rows.filter(state__in=[States.SLEEPING, States.QUEUED])
    claimed = rows.filter(state=States.PROCESSING)
    unasked = claimed.filter(cancelled=None)
    error = storable(connection, clean(reason))
    done = asked = 0
    for _ in range(TRIES):
        done += waiting.update(state=States.INTERRUPTED, unique_key=None, finished=now, error=error)
        asked = claimed.update(cancelled=now)
        # Its worker may have released one between the two.
        if done + asked >= len(ids) or not (waiting.exists() or unasked.exists()):
            break
    if done:
        announce_done(connection)
    if asked:
        announce_cancelled(connection)
    return Cancelled(done, asked)


@in_autocommit
def cancelled(connection: Any, ids: Sequence[int]) -> list[int]:
    """Return the ids of the claimed rows that were cancelled."""
    return cancelled_rows(connection, ids) if ids else []


def cancelled_rows(connection: Any, ids: Sequence[int]) -> list[int]:
    """Return the ids of the rows that were cancelled, inside the caller's transaction."""
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids, cancelled__isnull=False)
    return list(rows.values_list("pk", flat=True))
