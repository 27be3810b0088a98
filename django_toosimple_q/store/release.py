"""Release claimed rows that have not started, so that any worker may claim them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import TABLE, marks
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.cancel import cancelled_rows
from django_toosimple_q.store.finish import write
from django_toosimple_q.store.insert import announce_work
from django_toosimple_q.store.transaction import (
    adapt,
    in_bounded_transaction,
)

States = TaskExec.States


@in_bounded_transaction
def release(
    connection: Any,
    rows: Sequence[Claimed],
    worker_id: int,
    now: datetime,
    pause_seconds: float = 0,
) -> set[int]:
    """Make claimed rows that have not started QUEUED again and return their ids.

    With a pause they sleep first, so that their worker does not claim them again at once.
    A unique row may meet a newer one that waits, so it is replaced and the two are merged. A row
    that was cancelled meanwhile ends. A row that another session has locked stays as it is; its
    worker finds it among its own at the next heartbeat.
    """
    rows = _unlocked(connection, rows)
    cancelled = set(cancelled_rows(connection, [row.pk for row in rows]))
    ended = Outcome(States.INTERRUPTED, finished=now, error="cancelled")
    replaced = Outcome(
        States.INTERRUPTED,
        finished=now,
        error="released before it started",
        replaced=True,
        pause_seconds=pause_seconds,
    )
    plain = [row for row in rows if row.pk not in cancelled and not row.unique_hash]
    written = [(row, ended) for row in rows if row.pk in cancelled]
    written += [(row, replaced) for row in rows if row.pk not in cancelled and row.unique_hash]
    ids = _queue_again(connection, plain, worker_id, now, pause_seconds) if plain else set()
    return ids | (write(connection, written, worker_id, now) if written else set())


def _unlocked(connection: Any, rows: Sequence[Claimed]) -> list[Claimed]:
    if not rows:
        return []
    ids = [row.pk for row in rows]
    where = f"id IN ({marks(ids)})"
    found = database_of(connection).lock_rows(connection, ["id"], where, ids, len(ids))
    free = {row[0] for row in found}
    return [row for row in rows if row.pk in free]


def _queue_again(
    connection: Any, rows: Sequence[Claimed], worker_id: int, now: datetime, pause_seconds: float
) -> set[int]:
    state, due = States.QUEUED.value, {}
    if pause_seconds:
        state = States.SLEEPING.value
        due = {"due": adapt(connection, now + timedelta(seconds=pause_seconds))}
    columns = ("state", "started", "concurrency_key", "refused_by", *due)
    values = [
        (row.pk, state, None, row.concurrency_key, row.refused_by, *due.values()) for row in rows
    ]
    ids = set(database_of(connection).update_rows(connection, columns, values, worker_id))
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {TABLE} SET worker_id = NULL WHERE id IN ({marks(ids)})", sorted(ids)
            )
        announce_work(connection)
    return ids
