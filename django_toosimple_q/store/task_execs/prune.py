"""Delete what ended long ago, a small batch at a time, so that nobody waits for it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.store.step import statement, step

BATCH = 500


def expired(retention: Mapping[str, timedelta | None], now: datetime, **only: Any) -> Any:
    """Return the condition for rows that are kept no longer: state by state, by when they ended."""
    old = Q(pk__in=[])
    for state, kept in retention.items():
        if kept is not None:
            old |= Q(state=state, finished__lte=now - kept)
    return old & Q(**only)


@statement
def count_expired(connection: Any, condition: Q) -> int:
    """Return how many rows are kept no longer."""
    return TaskExec.objects.using(connection.alias).filter(condition).count()


@step
def prune(connection: Any, condition: Q, batch: int = BATCH) -> int:
    """Delete a batch of rows that are kept no longer; return how many."""
    rows = TaskExec.objects.using(connection.alias)
    ids = list(rows.filter(condition).values_list("pk", flat=True)[:batch])
    if not ids:
        return 0
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
