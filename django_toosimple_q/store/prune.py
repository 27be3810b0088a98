"""Delete rows that ended long ago, in small batches, so that other sessions do not wait long.

Earlier attempts are deleted with the last one. Without it, they would look like final failures.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError
from django.db.models import Q

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import ENDED, TABLE, marks
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.store.transaction import (
    adapt,
    in_autocommit,
    in_bounded_transaction,
    in_transaction,
    is_locked,
)

# For 200 values and more, MariaDB and MySQL judge an index by its average. That is useless if
# nearly all rows have no value.
BATCH = 100
EARLIER_BATCH = 90
# The earlier rows of the same chain, its first row, and rows of other chains that were merged into
# a unique call.
EARLIER = (
    f"SELECT e.id FROM {TABLE} p JOIN {TABLE} e ON e.root_id = p.root_id AND e.id < p.id"
    " WHERE p.id IN (PLACEHOLDERS) AND e.root_id IS NOT NULL AND e.finished IS NOT NULL"
    f" UNION SELECT e.id FROM {TABLE} p JOIN {TABLE} e ON e.id = p.root_id"
    " WHERE p.id IN (PLACEHOLDERS) AND e.finished IS NOT NULL"
    f" UNION SELECT e.id FROM {TABLE} e"
    " WHERE e.replaced_by_id IN (PLACEHOLDERS) AND e.replaced_by_id IS NOT NULL ORDER BY 1 LIMIT %s"
)


class Expired(NamedTuple):
    """Rows in one state that ended before a moment, of one queue or of all."""

    state: str
    before: datetime
    queue: str | None

    def where(self, connection: Any) -> tuple[str, list[Any]]:
        """Return the condition in SQL, and its parameters."""
        sql = f"{ENDED} AND state = '{TaskExec.States(self.state).value}' AND finished <= %s"
        params = [adapt(connection, self.before)]
        return (
            (sql, params)
            if self.queue is None
            else (f"{sql} AND queue = %s", [*params, self.queue])
        )


def expired(
    retention: Mapping[str, timedelta | None], now: datetime, queue: str | None = None
) -> list[Expired]:
    """Return the conditions of rows to delete: for each state, when they must have ended."""
    return [
        Expired(state, now - kept, queue) for state, kept in retention.items() if kept is not None
    ]


@in_autocommit
def count_expired(connection: Any, conditions: Sequence[Expired]) -> int:
    """Return how many rows are to be deleted."""
    count = 0
    with connection.cursor() as cursor:
        for condition in conditions:
            where, params = condition.where(connection)
            cursor.execute(f"SELECT COUNT(*) FROM {TABLE} WHERE {where}", params)
            count += cursor.fetchone()[0]
    return count


@in_autocommit
def remaining(connection: Any, conditions: Sequence[Expired]) -> int:
    """Return how many rows that ended in the same states would be left."""
    count = 0
    with connection.cursor() as cursor:
        for one in conditions:
            sql = f"SELECT COUNT(*) FROM {TABLE} WHERE {ENDED} AND state = %s AND finished > %s"
            cursor.execute(sql, [one.state, adapt(connection, one.before)])
            count += cursor.fetchone()[0]
    return count


def prune(conditions: Sequence[Expired], batch: int = BATCH) -> int:
    """Delete a batch of the rows to delete, and return how many they were; 0 at a lock."""
    try:
        return _prune(conditions, batch)
    except DatabaseError as error:
        if not is_locked(error):
            raise
        return 0


@in_bounded_transaction
def _prune(connection: Any, conditions: Sequence[Expired], batch: int) -> int:
    ids: list[int] = []
    for condition in conditions:
        where, params = condition.where(connection)
        found = database_of(connection).lock_rows(
            connection, ["id"], where, params, batch - len(ids), order="finished"
        )
        ids += [pk for (pk,) in found]
    return _delete(connection, ids)


@in_transaction
def delete(connection: Any, ids: Sequence[int]) -> int:
    """Delete rows in any state, with their earlier attempts, and return how many."""
    count = 0
    for start in range(0, len(ids), BATCH):
        count += _delete_all(connection, ids[start : start + BATCH])
    return count


def delete_unclaimed(connection: Any, ids: Sequence[int]) -> int:
    """Delete rows with their earlier attempts inside the caller's transaction.

    Those that a worker has claimed, or that another session has locked, are passed over. Return how
    many of the given rows were deleted.
    """
    count = 0
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        where = f"id IN ({marks(some)}) AND state <> 'PROCESSING'"
        found = database_of(connection).lock_rows(connection, ["id"], where, some, len(some))
        _delete_all(connection, [pk for (pk,) in found])
        count += len(found)
    return count


def _delete_all(connection: Any, ids: Sequence[int]) -> int:
    count = 0
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids)
    while rows.exists():
        count += _delete(connection, ids)
    return count


def _delete(connection: Any, ids: Sequence[int]) -> int:
    """Delete rows. If they have very many earlier attempts, delete the oldest of those first."""
    if not ids:
        return 0
    earlier = _earlier(connection, ids)
    ids = [*earlier] if len(earlier) >= EARLIER_BATCH else [*earlier, *ids]
    rows = TaskExec.objects.using(connection.alias)
    # InnoDB checks each reference when it deletes a row, not at the end.
    rows.filter(replaced_by__in=ids).update(replaced_by=None)
    schedules = ScheduleExec.objects.using(connection.alias)
    schedules.filter(last_task__in=ids).update(last_task=None)
    return rows.filter(pk__in=ids)._raw_delete(connection.alias)


def _earlier(connection: Any, ids: Sequence[int]) -> set[int]:
    """Return the ids of earlier attempts of these rows, but only the oldest of a long chain."""
    found = set(ids)
    ends = list(ids)
    while ends:
        with connection.cursor() as cursor:
            cursor.execute(
                EARLIER.replace("PLACEHOLDERS", marks(ends)), [*ends, *ends, *ends, EARLIER_BATCH]
            )
            ends = [pk for (pk,) in cursor.fetchall() if pk not in found]
        found.update(ends)
    return found.difference(ids)


@in_bounded_transaction
def prune_workers(connection: Any, before: datetime) -> int:
    """Delete workers that ended before a date and own no row, and return how many."""
    rows = WorkerStatus.objects.using(connection.alias)
    ended = Q(stopped__lt=before) | Q(rescued__lt=before)
    owners = TaskExec.objects.using(connection.alias).filter(state="PROCESSING")
    ids = list(
        rows.filter(ended)
        .exclude(pk__in=owners.values("worker"))[:BATCH]
        .values_list("pk", flat=True)
    )
    return rows.filter(pk__in=ids).delete()[0] if ids else 0
