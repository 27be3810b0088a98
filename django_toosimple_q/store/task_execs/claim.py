"""Move waiting rows to a worker: look at what waits, wake what is due, claim what is next."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.dialect import Pick, dialect_of
from django_toosimple_q.store.dialect.base import TABLE
from django_toosimple_q.store.step import adapt, statement, step

COLUMNS = (
    *("id", "task_name", "args", "kwargs", "queue", "priority", "retries", "retry_delay", "due"),
    *("expires", "attempt", "root_id", "deaths", "unique_hash", "alone", "timeout"),
    "created",
)
WAKE_BATCH = 1000


class Claimant(NamedTuple):
    """Who claims: the worker's row, and the incarnation of it that this process is."""

    worker_id: int
    incarnation: str


class Waiting(NamedTuple):
    """What waits: the queues with rows to claim, and when the next sleeping row is due."""

    queues: list[str]
    next_due: datetime | None


@statement
def look(connection: Any) -> Waiting:
    """Return what waits, by one probe of an index for each queue."""
    sql = (
        "WITH RECURSIVE waiting(queue) AS ("
        f"SELECT MIN(queue) FROM {TABLE} WHERE state = 'QUEUED' UNION ALL"
        f" SELECT (SELECT MIN(t.queue) FROM {TABLE} t WHERE t.state = 'QUEUED'"
        " AND t.queue > waiting.queue) FROM waiting WHERE waiting.queue IS NOT NULL)"
        f" SELECT queue, (SELECT MIN(due) FROM {TABLE} WHERE state = 'SLEEPING') FROM waiting"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall()
    next_due = dialect_of(connection).moment(rows[0][1])
    return Waiting([queue for queue, _ in rows if queue is not None], next_due)


@step
def wake(connection: Any, now: datetime) -> int:
    """Make SLEEPING rows that are due QUEUED, a batch at most; return how many."""
    locked = dialect_of(connection).lock_rows(
        connection, ["id"], "state = 'SLEEPING' AND due <= %s", [adapt(connection, now)], WAKE_BATCH
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
    queues: Sequence[str],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str] = (),
) -> list[Claimed]:
    """Make at most `limit` QUEUED rows of these queues PROCESSING, ours, and return them in order.

    Larger priority first, then earlier due, then id. Nothing is claimed for a worker that was
    declared dead.
    """
    return claim_rows(connection, claimant, queues, limit, now, skipped_names)


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
    queues: Sequence[str],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str] = (),
) -> list[Claimed]:
    """Claim inside the caller's transaction; see `claim`."""
    if not queues or limit < 1:
        return []
    dialect = dialect_of(connection)
    pick = Pick(queues, limit, skipped_names, *claimant)
    rows = dialect.claim(connection, COLUMNS, pick, adapt(connection, now))
    claimed = claimed_rows(connection, rows)
    claimed.sort(key=lambda row: (-row.priority, row.due, row.pk))
    return claimed


def claimed_rows(connection: Any, rows: Sequence[Sequence[Any]]) -> list[Claimed]:
    """Return rows of `COLUMNS` as values."""
    moment = dialect_of(connection).moment
    claimed = [Claimed(*row) for row in rows]
    for one in claimed:
        one.due, one.expires, one.created = (
            moment(one.due),
            moment(one.expires),
            moment(one.created),
        )
        one.alone = bool(one.alone)
    return claimed
