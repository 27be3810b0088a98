"""Move waiting rows to a worker: look at what waits, wake what is due, claim what is next."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import lanes
from django_toosimple_q.store.dialect import Pick, dialect_of
from django_toosimple_q.store.dialect.base import TABLE, Place
from django_toosimple_q.store.step import adapt, statement, step

COLUMNS = (
    *("id", "task_name", "args", "kwargs", "queue", "priority", "retries", "retry_delay", "due"),
    *("expires", "attempt", "root_id", "deaths", "unique_hash", "alone", "timeout"),
    *("lane", "created", "hold"),
)
WAKE_BATCH = 1000


class Claimant(NamedTuple):
    """Who claims: the worker's row, and the incarnation of it that this process is."""

    worker_id: int
    incarnation: str


class Waiting(NamedTuple):
    """What waits: where there are rows to claim, and when there will be.

    next_due: when the next sleeping row is due. next_open: when the next limited task may start
    again that may not now; its place is left out, as are those of paused queues.
    """

    places: list[Place]
    next_due: datetime | None
    next_open: datetime | None


@statement
def look(connection: Any, now: datetime) -> Waiting:
    """Return what waits, by one probe of an index for each queue and for each lane in it."""
    places, next_due = dialect_of(connection).look(connection)
    names = {place.lane for place in places if place.lane}
    if not names:
        return Waiting(places, next_due, None)
    rooms, next_open = lanes.openings(connection, names, now)
    return Waiting([one for one in places if rooms.get(one.lane, 1)], next_due, next_open)


@step
def wake(connection: Any, now: datetime) -> int:
    """Make SLEEPING rows that are due QUEUED, a batch at most; return how many."""
    locked = dialect_of(connection).lock_rows(
        connection,
        ["id"],
        "state = 'SLEEPING' AND due <= %s",
        [adapt(connection, now)],
        WAKE_BATCH,
        order="due",
    )
    if not locked:
        return 0
    marks = ", ".join(["%s"] * len(locked))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET state = 'QUEUED' WHERE state = 'SLEEPING' AND id IN ({marks})",
            [row[0] for row in locked],
        )
        return int(cursor.rowcount)


@step
def claim(
    connection: Any,
    claimant: Claimant,
    places: Sequence[Place],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str] = (),
) -> list[Claimed]:
    """Make at most `limit` QUEUED rows of these places PROCESSING, ours, and return them in order.

    Larger priority first, then earlier due, then id; of a limited task no more than may start now.
    Nothing is claimed for a worker that was declared dead.
    """
    return claim_rows(connection, claimant, places, limit, now, skipped_names)


@statement
def owned(connection: Any, worker_id: int) -> list[Claimed]:
    """Return the PROCESSING rows of a worker."""
    columns = ", ".join(COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM {TABLE} WHERE state = 'PROCESSING' AND worker_id = %s",
            [worker_id],
        )
        return claimed_rows(connection, cursor.fetchall())


@statement
def followers(connection: Any, ids: Sequence[int]) -> dict[int, int | None]:
    """Return, for each of the rows, the id of the one that it was replaced by."""
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids)
    return dict(rows.values_list("pk", "replaced_by_id"))


def claim_rows(
    connection: Any,
    claimant: Claimant,
    places: Sequence[Place],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str] = (),
) -> list[Claimed]:
    """Claim inside the caller's transaction; see `claim`."""
    names = {place.lane for place in places if place.lane}
    rooms = lanes.lock(connection, names, now) if names and limit else {}
    shares = lanes.share(places, rooms, limit)
    if not shares:
        return []
    pick = Pick(shares, limit, skipped_names, *claimant)
    rows = dialect_of(connection).claim(connection, COLUMNS, pick, adapt(connection, now))
    claimed = claimed_rows(connection, rows)
    if names:
        lanes.use(connection, Counter(row.lane for row in claimed if row.lane), now)
    claimed.sort(key=lambda row: (-row.priority, row.due, row.pk))
    return claimed


def claimed_rows(connection: Any, rows: Sequence[Sequence[Any]]) -> list[Claimed]:
    """Return rows of `COLUMNS` as values."""
    moment = dialect_of(connection).moment
    claimed = [Claimed(*row) for row in rows]
    for one in claimed:
        one.due = moment(connection, one.due)
        one.expires = moment(connection, one.expires)
        one.created = moment(connection, one.created)
        one.alone = bool(one.alone)
        one.hold = bool(one.hold)
    return claimed
