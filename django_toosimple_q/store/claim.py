"""Move waiting rows to a worker: read the backlog, wake what is due, claim what is next."""

from collections import Counter
from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q import traces
from django_toosimple_q.databases import Pick, database_of
from django_toosimple_q.databases.base import TABLE, Bucket, marks
from django_toosimple_q.exceptions import UnreadableRow
from django_toosimple_q.execution import Claimed
from django_toosimple_q.store import limits
from django_toosimple_q.store.transaction import (
    adapt,
    in_autocommit,
    in_bounded_transaction,
    passing_over_locks,
)

NUMBER, MOMENT, OPTIONAL = (int,), (datetime, str), (type(None),)
# What a column of a row that can be read holds. SQLite keeps anything in any column.
KINDS: dict[str, tuple[type, ...]] = {
    "id": NUMBER,
    "task_name": (str,),
    "args": (str,),
    "kwargs": (str,),
    "queue": (str,),
    "priority": NUMBER,
    "retries": NUMBER,
    "retry_delay": NUMBER,
    "due": MOMENT,
    "expires": (*MOMENT, *OPTIONAL),
    "attempt": NUMBER,
    "root_id": (*NUMBER, *OPTIONAL),
    "crash_count": NUMBER,
    "unique_hash": (str,),
    "exclusive": NUMBER,
    "timeout": (float, int, *OPTIONAL),
    "concurrency_key": (str,),
    "created": MOMENT,
    "hold": NUMBER,
    "code_version": (str,),
    "refused_by": (str,),
    "arguments_preview": (str,),
}
COLUMNS = tuple(KINDS)
KINDS[traces.COLUMN] = (str, *OPTIONAL)
WAKE_BATCH = 1000

# The types of rows that were found in order: one look-up for each further row.
shapes: set[tuple[type, ...]] = set()


class Claimant(NamedTuple):
    """Who claims: the worker's row, and the incarnation of it that this process is."""

    worker_id: int
    incarnation: str


class Waiting(NamedTuple):
    """The backlog: which buckets have rows to claim, and when others will.

    next_due: when the next sleeping row is due. next_open: when the next limited task may start
    that may not now. Its bucket is left out, as are those of paused queues.
    """

    buckets: list[Bucket]
    next_due: datetime | None
    next_open: datetime | None


def backlog(now: datetime) -> Waiting:
    """Return what waits, by one probe of an index for each bucket."""
    buckets, next_due = _buckets()
    keys = {bucket.concurrency_key for bucket in buckets if bucket.concurrency_key}
    if not keys:
        return Waiting(buckets, next_due, None)
    # While a session locks the whole table of the keys, limited calls wait and others do not.
    rooms, next_open = dict.fromkeys(keys, 0), None
    with passing_over_locks():
        rooms, next_open = _openings(keys, now)
    open_buckets = [bucket for bucket in buckets if rooms.get(bucket.concurrency_key, 1)]
    return Waiting(open_buckets, next_due, next_open)


@in_autocommit
def _buckets(connection: Any) -> tuple[list[Bucket], Any]:
    return database_of(connection).backlog(connection)


@in_bounded_transaction
def _openings(connection: Any, keys: Set[str], now: datetime) -> limits.Openings:
    return limits.openings(connection, keys, now)


@in_bounded_transaction
def wake(connection: Any, now: datetime) -> int:
    """Make SLEEPING rows that are due QUEUED, a batch at most; return how many."""
    locked = database_of(connection).lock_rows(
        connection,
        ["id"],
        "state = 'SLEEPING' AND due <= %s",
        [adapt(connection, now)],
        WAKE_BATCH,
        order="due",
    )
    if not locked:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET state = 'QUEUED'"
            f" WHERE state = 'SLEEPING' AND id IN ({marks(locked)})",
            [row[0] for row in locked],
        )
        return int(cursor.rowcount)


def columns() -> tuple[str, ...]:
    """Return the columns of a `Claimed`, in its order."""
    return COLUMNS + traces.columns()


def claim(
    connection: Any,
    claimant: Claimant,
    buckets: Sequence[Bucket],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str] = (),
) -> list[Claimed]:
    """Make at most `limit` QUEUED rows of these buckets PROCESSING, ours; return them in order.

    Larger priority first, then earlier due, then id. Of a limited task no more than may start now.
    Nothing is claimed for a worker that was declared dead. Runs in the caller's transaction.
    """
    keys = {bucket.concurrency_key for bucket in buckets if bucket.concurrency_key}
    rooms = limits.lock(connection, keys, now) if keys and limit else {}
    shares = limits.share(buckets, rooms, limit)
    if not shares:
        return []
    pick = Pick(shares, limit, skipped_names, *claimant)
    rows = database_of(connection).claim(connection, columns(), pick, adapt(connection, now))
    claimed = claimed_rows(connection, rows)
    if keys:
        counts = Counter(row.concurrency_key for row in claimed if row.concurrency_key)
        limits.use(connection, counts, now)
    claimed.sort(key=lambda row: (-row.priority, row.due, row.pk))
    return claimed


@in_autocommit
def owned(connection: Any, worker_id: int) -> list[int]:
    """Return the ids of the PROCESSING rows of a worker."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {TABLE} WHERE state = 'PROCESSING' AND worker_id = %s", [worker_id]
        )
        return [pk for (pk,) in cursor.fetchall()]


def claimed_rows(connection: Any, rows: Sequence[Sequence[Any]]) -> list[Claimed]:
    """Return rows of `columns()` as values. Raises `UnreadableRow` for what no column may hold."""
    database = database_of(connection)
    moment = database.moment
    for row in rows if database.loosely_typed else ():
        if tuple(map(type, row)) not in shapes:
            check_kinds(row)
    claimed = [Claimed(*row) for row in rows]
    for one in claimed:
        one.due = moment(one.due)
        one.expires = moment(one.expires)
        one.created = moment(one.created)
        one.exclusive = bool(one.exclusive)
        one.hold = bool(one.hold)
    return claimed


def check_kinds(row: Sequence[Any]) -> None:
    """Raise `UnreadableRow` unless each of `columns()` holds what it may."""
    for column, value in zip(columns(), row, strict=True):
        if not isinstance(value, KINDS[column]):
            raise UnreadableRow(f"its {column} cannot be {value!r:.100}")
    shapes.add(tuple(map(type, row)))
