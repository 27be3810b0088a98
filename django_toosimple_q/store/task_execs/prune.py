"""Delete what ended long ago, a small batch at a time, so that nobody waits for it."""

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
BATCH = 150


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
    if not ids:
        return 0
    rows = TaskExec.objects.using(connection.alias)
    # What is kept may point to them.
    rows.filter(replaced_by__in=ids).update(replaced_by=None)
    schedules = ScheduleExec.objects.using(connection.alias)
    schedules.filter(last_task__in=ids).update(last_task=None)
    return rows.filter(pk__in=ids)._raw_delete(connection.alias)


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
