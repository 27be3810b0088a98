"""Delete what ended long ago, a small batch at a time, so that nobody waits for it.

The attempts that led to a row go with it: without it they would look as if nothing had followed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q

from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.dialect.base import ENDED, TABLE
from django_toosimple_q.store.step import adapt, statement, step

# For 200 values and more MariaDB and MySQL judge an index by its average, which is of no use where
# nearly all rows have none.
BATCH = 100
EARLIER_BATCH = 90
# Of the same chain, its first row, and those of others that were merged into a unique call.
EARLIER = (
    f"SELECT e.id FROM {TABLE} p JOIN {TABLE} e ON e.root_id = p.root_id AND e.id < p.id"
    " WHERE p.id IN (MARKS) AND e.root_id IS NOT NULL AND e.finished IS NOT NULL"
    f" UNION SELECT e.id FROM {TABLE} p JOIN {TABLE} e ON e.id = p.root_id"
    " WHERE p.id IN (MARKS) AND e.finished IS NOT NULL"
    f" UNION SELECT e.id FROM {TABLE} e"
    " WHERE e.replaced_by_id IN (MARKS) AND e.replaced_by_id IS NOT NULL ORDER BY 1 LIMIT %s"
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
    """Return which rows are kept no longer: state by state, by when they ended."""
    return [
        Expired(state, now - kept, queue) for state, kept in retention.items() if kept is not None
    ]


@statement
def count_expired(connection: Any, conditions: Sequence[Expired]) -> int:
    """Return how many rows are kept no longer."""
    count = 0
    with connection.cursor() as cursor:
        for condition in conditions:
            where, params = condition.where(connection)
            cursor.execute(f"SELECT COUNT(*) FROM {TABLE} WHERE {where}", params)
            count += cursor.fetchone()[0]
    return count


@step
def prune(connection: Any, conditions: Sequence[Expired], batch: int = BATCH) -> int:
    """Delete a batch of rows that are kept no longer; return how many."""
    ids: list[int] = []
    for condition in conditions:
        where, params = condition.where(connection)
        found = dialect_of(connection).lock_rows(
            connection, ["id"], where, params, batch - len(ids), order="finished"
        )
        ids += [pk for (pk,) in found]
    return _delete(connection, ids)


@step
def delete(connection: Any, ids: Sequence[int]) -> int:
    """Delete rows, whatever their states, with the attempts that led to them; return how many."""
    count = 0
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        rows = TaskExec.objects.using(connection.alias).filter(pk__in=some)
        while rows.exists():
            count += _delete(connection, some)
    return count


def _delete(connection: Any, ids: Sequence[int]) -> int:
    """Delete rows; where very many attempts led to them, the oldest of those first."""
    if not ids:
        return 0
    earlier = _earlier(connection, ids)
    ids = [*earlier] if len(earlier) >= EARLIER_BATCH else [*earlier, *ids]
    rows = TaskExec.objects.using(connection.alias)
    # InnoDB looks at each reference as it deletes, not at the end.
    rows.filter(replaced_by__in=ids).update(replaced_by=None)
    schedules = ScheduleExec.objects.using(connection.alias)
    schedules.filter(last_task__in=ids).update(last_task=None)
    return rows.filter(pk__in=ids)._raw_delete(connection.alias)


def _earlier(connection: Any, ids: Sequence[int]) -> set[int]:
    """Return the ids of attempts that led to these rows; of a long chain the oldest only."""
    found = set(ids)
    ends = list(ids)
    while ends:
        marks = ", ".join(["%s"] * len(ends))
        with connection.cursor() as cursor:
            cursor.execute(EARLIER.replace("MARKS", marks), [*ends, *ends, *ends, EARLIER_BATCH])
            ends = [pk for (pk,) in cursor.fetchall() if pk not in found]
        found.update(ends)
    return found.difference(ids)


@step
def prune_workers(connection: Any, before: datetime) -> int:
    """Delete workers that ended before a date and own nothing any more; return how many."""
    rows = WorkerStatus.objects.using(connection.alias)
    ended = Q(stopped__lt=before) | Q(rescued__lt=before)
    owners = TaskExec.objects.using(connection.alias).filter(state="PROCESSING")
    ids = list(
        rows.filter(ended)
        .exclude(pk__in=owners.values("worker"))[:BATCH]
        .values_list("pk", flat=True)
    )
    return rows.filter(pk__in=ids).delete()[0] if ids else 0
