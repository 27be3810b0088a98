"""Give rows whose worker is gone back to the living, and rows whose task came back a new chance."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.dialect.base import ENDED, TABLE, WORKERS
from django_toosimple_q.store.step import adapt, step
from django_toosimple_q.store.task_execs.cancel import cancelled_rows
from django_toosimple_q.store.task_execs.claim import COLUMNS, claimed_rows
from django_toosimple_q.store.task_execs.enqueue import _insert, successor
from django_toosimple_q.store.task_execs.finish import link

States = TaskExec.States

BATCH = 500
DEADLY = 3

# Level-triggered: whatever left a row with a worker that is not alive, the next tick finds it.
ORPHANED = (
    "state = 'PROCESSING' AND worker_id IN ("
    f"SELECT id FROM {WORKERS} WHERE stopped IS NOT NULL OR rescued IS NOT NULL)"
)
# Its worker's row was deleted; the worker may be alive and come back for it.
OWNERLESS = (
    "state = 'PROCESSING' AND (worker_id IS NULL"
    f" OR NOT EXISTS (SELECT 1 FROM {WORKERS} w WHERE w.id = worker_id))"
)


class Rescue(NamedTuple):
    """What became of an orphaned row: replaced by another, held, or failed for good."""

    task_id: int
    task_name: str
    worker_id: int | None
    replaced_by: int | None
    state: str


@step
def rescue(connection: Any, now: datetime, reason: str = "its worker died") -> list[Rescue]:
    """Interrupt and replace, a batch at most, the rows of workers that stopped or died."""
    return interrupt_where(connection, ORPHANED, [], now, reason)


@step
def orphans(connection: Any) -> list[int]:
    """Return the ids of PROCESSING rows whose worker has no row, a batch at most."""
    rows = dialect_of(connection).lock_rows(
        connection, ["id"], OWNERLESS, [], BATCH, order="worker_id"
    )
    return [row[0] for row in rows]


@step
def rescue_orphans(connection: Any, ids: Collection[int], now: datetime) -> list[Rescue]:
    """Interrupt and replace those of the rows whose worker still has no row."""
    if not ids:
        return []
    marks = ", ".join(["%s"] * len(ids))
    where = f"{OWNERLESS} AND id IN ({marks})"
    return interrupt_where(connection, where, list(ids), now, "its worker's row is gone")


@step
def revive(connection: Any, names: Sequence[str]) -> int:
    """Make INVALID rows QUEUED whose task is known (again); return how many.

    Rows that are INVALID for another reason carry it in `error` and stay.
    """
    if not names:
        return 0
    marks = ", ".join(["%s"] * len(names))
    where = (
        f"{ENDED} AND state = 'INVALID' AND finished IS NULL AND error IS NULL"
        f" AND task_name IN ({marks})"
    )
    rows = dialect_of(connection).lock_rows(
        connection, ["id"], where, names, BATCH, order="finished"
    )
    if not rows:
        return 0
    ids = [row[0] for row in rows]
    marks = ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET state = 'QUEUED', worker_id = NULL"
            f" WHERE state = 'INVALID' AND id IN ({marks})",
            ids,
        )
        return int(cursor.rowcount)


def interrupt_where(
    connection: Any,
    where: str,
    params: Sequence[Any],
    now: datetime,
    reason: str,
    how: str = "",
    deaths: int = 1,
) -> list[Rescue]:
    """Interrupt and replace PROCESSING rows inside the caller's transaction, a batch at most.

    Rows that somebody else has locked are passed over: a stopped process inside its own finish
    would block a plain UPDATE for ever. `how` the process ended is told where it is known;
    `deaths` is what each row is blamed for.
    """
    dialect = dialect_of(connection)
    locked = dialect.lock_rows(connection, [*COLUMNS, "worker_id"], where, params, BATCH)
    if not locked:
        return []
    claimed = claimed_rows(connection, [row[:-1] for row in locked])
    rows = [(one, row[-1]) for one, row in zip(claimed, locked, strict=True)]
    # The first death only makes a row a suspect: its neighbours of the same claim died with it.
    counts = {row.pk: row.deaths + deaths for row, _ in rows}
    # Somebody has taken it back while it ran: it has ended now.
    taken_back = set(cancelled_rows(connection, list(counts)))
    followed = [
        row
        for row, _ in rows
        if counts[row.pk] < DEADLY and not held(row) and row.pk not in taken_back
    ]
    followers = _insert(
        connection,
        [
            successor(
                row,
                now=now,
                retries=row.retries,
                retry_delay=row.retry_delay,
                deaths=counts[row.pk],
            )
            for row in followed
        ],
    )
    replaced_by = {row.pk: new.pk for row, new in zip(followed, followers, strict=True)}
    rescued = []
    with connection.cursor() as cursor:
        for row, worker_id in rows:
            state, error = _verdict(row, counts[row.pk], reason, how)
            if row.pk in taken_back:
                state, error = States.INTERRUPTED.value, f"cancelled; {error}"
            cursor.execute(
                f"UPDATE {TABLE} SET state = %s, finished = %s, error = %s, deaths = %s"
                " WHERE id = %s AND state = 'PROCESSING'",
                [state, adapt(connection, now), error, counts[row.pk], row.pk],
            )
            following = replaced_by.get(row.pk)
            rescued.append(Rescue(row.pk, row.task_name, worker_id, following, state))
    if replaced_by:
        link(connection, sorted(replaced_by.items()))
    return rescued


def held(row: Claimed) -> bool:
    """Tell whether an interrupted call waits for a person instead of being replaced.

    The row says so, too: during a deploy its rescuer may have code without its task. Where the
    two differ the cautious one counts.
    """
    task = tasks_registry.find(row)
    return row.hold or (task is not None and task.holds)


def _verdict(row: Claimed, deaths: int, reason: str, how: str) -> tuple[str, str]:
    told = f"{reason}: {how}" if how else reason
    if deaths >= DEADLY:
        last = f"last {how}" if how else reason
        return States.FAILED.value, f"its worker died {deaths} times: {last}"
    if held(row):
        return States.INTERRUPTED.value, f"{told}; held for a person to decide"
    return States.INTERRUPTED.value, told
