"""Set back what calls were given by a clock that was ahead: when they are due."""

from datetime import datetime, timedelta
from typing import Any

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import TABLE
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import AHEAD
from django_toosimple_q.store.insert import announce_work
from django_toosimple_q.store.transaction import adapt, in_bounded_transaction

States = TaskExec.States

BATCH = 1000
# A waiting row is claimed whenever it is due, only after those that are due before it. So it can
# wait, and until then it tells which occurrence of its schedule it is.
LONG = timedelta(days=1)


@in_bounded_transaction
def set_back(connection: Any, now: datetime) -> int:
    """Set back a batch of waiting rows, and return how many.

    A next attempt sleeps as long as it was to sleep. A first one keeps its date: it may be meant.
    """
    return _set_back_attempts(connection, now) + _set_back_queued(connection, now)


def _set_back_attempts(connection: Any, now: datetime) -> int:
    database = database_of(connection)
    latest = adapt(connection, now + AHEAD)
    rows = database.lock_rows(
        connection,
        ["id", "due", "created"],
        "state = 'SLEEPING' AND due > %s AND created > %s AND attempt > 1",
        [latest, latest],
        BATCH,
        order="due",
    )
    if not rows:
        return 0
    moments = [(pk, *(database.moment(one) for one in both)) for pk, *both in rows]
    changed = [
        (pk, adapt(connection, now + (due - created)), adapt(connection, now))
        for pk, due, created in moments
    ]
    database.write_rows(connection, TABLE, ("due", "created"), changed)
    announce_work(connection)
    return len(rows)


def _set_back_queued(connection: Any, now: datetime) -> int:
    queued = TaskExec.objects.using(connection.alias).filter(
        state=States.QUEUED, due__gt=now + LONG
    )
    # Read first: no index finds them, and what MariaDB reads to change it locks.
    ids = list(queued.values_list("pk", flat=True)[:BATCH])
    return queued.filter(pk__in=ids).update(due=now) if ids else 0
