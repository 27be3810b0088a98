"""The figures by minute and task: write a worker's own, sum up old ones, prune, and read sums.

No statement here reads the table of calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, Max, QuerySet, Sum

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import MINUTES
from django_toosimple_q.histogram import BINS
from django_toosimple_q.models import Minute
from django_toosimple_q.moments import aware
from django_toosimple_q.store.transaction import in_autocommit, in_bounded_transaction

# The counts of a row, in this order.
COLUMNS = (*Minute.ENDS, *Minute.SUMS, *Minute.RUN_BINS, *Minute.WAIT_BINS)
FIRST_RUN_BIN = len(Minute.ENDS) + len(Minute.SUMS)
FIRST_WAIT_BIN = FIRST_RUN_BIN + BINS
# The spans that rows have, in minutes.
SPAN, LONG_SPAN = 1, 15
WRITTEN_AT_ONCE = 200
SUMMED_UP_AT_ONCE = 1000
PRUNED_AT_ONCE = 1000

Counts = list[float]


@dataclass(slots=True)
class Tally:
    """What one row holds: the id of the row once there is one, and its counts as `COLUMNS`.

    `stored` tells whether the row has these very counts.
    """

    minute: int
    task_name: str
    queue: str
    pk: int | None = None
    stored: bool = True
    counts: Counts = field(default_factory=lambda: [0] * len(COLUMNS))


def minute_of(moment: datetime) -> int:
    """Return the minute of a datetime, counted since 1970 (UTC)."""
    return int(aware(moment).timestamp() // 60)


def begin_of(minute: int) -> datetime:
    """Return when a minute begins, aware."""
    return datetime.fromtimestamp(minute * 60, UTC)


@in_bounded_transaction
def write(connection: Any, worker_id: int, tallies: Sequence[Tally]) -> list[int]:
    """Store a worker's counts as they stand, by one statement for its rows that exist already.

    Return the id of each row. Nothing is added up, so a repetition does no harm.
    """
    ids = [tally.pk or _insert(connection, worker_id, tally) for tally in tallies]
    known = [(tally.pk, *tally.counts) for tally in tallies if tally.pk is not None]
    for start in range(0, len(known), WRITTEN_AT_ONCE):
        some = known[start : start + WRITTEN_AT_ONCE]
        database_of(connection).write_rows(connection, MINUTES, COLUMNS, some)
    return ids


def _insert(connection: Any, worker_id: int, tally: Tally) -> int:
    row = Minute(
        minute=tally.minute,
        task_name=tally.task_name,
        queue=tally.queue,
        worker_id=worker_id,
        **dict(zip(COLUMNS, tally.counts, strict=True)),
    )
    # One by one: MySQL tells no ids of several. A task has its first row of a minute once.
    row.save(using=connection.alias, force_insert=True)
    return int(row.pk)


@in_bounded_transaction
def sum_up(connection: Any, worker_id: int, before: int) -> int:
    """Replace rows from before a minute, which ends a long span, by one row of each long span.

    Return how many rows there were. Rows that another worker sums up are passed over.
    """
    names = ("id", "minute", "task_name", "queue", *COLUMNS)
    found = database_of(connection).lock_rows(
        connection,
        names,
        "span = %s AND minute < %s",
        [SPAN, before],
        SUMMED_UP_AT_ONCE,
        order="minute",
        table=MINUTES,
    )
    sums: dict[tuple[int, str, str], Counts] = {}
    for _, minute, task_name, queue, *counts in found:
        key = (minute - minute % LONG_SPAN, task_name, queue)
        kept = sums.get(key)
        sums[key] = counts if kept is None else [a + b for a, b in zip(kept, counts, strict=True)]
    rows = Minute.objects.using(connection.alias)
    rows.bulk_create(
        [
            Minute(
                minute=minute,
                span=LONG_SPAN,
                worker_id=worker_id,
                task_name=task_name,
                queue=queue,
                **dict(zip(COLUMNS, counts, strict=True)),
            )
            for (minute, task_name, queue), counts in sums.items()
        ]
    )
    rows.filter(pk__in=[row[0] for row in found])._raw_delete(connection.alias)
    return len(found)


@in_bounded_transaction
def prune(connection: Any, before: int) -> int:
    """Delete rows from before a minute, a thousand at most, and return how many they were."""
    found = database_of(connection).lock_rows(
        connection,
        ["id"],
        "span = %s AND minute < %s",
        [LONG_SPAN, before],
        PRUNED_AT_ONCE,
        order="minute",
        table=MINUTES,
    )
    rows = Minute.objects.using(connection.alias)
    return rows.filter(pk__in=[pk for (pk,) in found])._raw_delete(connection.alias)


@in_autocommit
def by_interval(connection: Any, start: int, end: int, length: int) -> dict[int, Counts]:
    """Return the sums of the minutes from `start` to before `end`, by the minute of each interval.

    The intervals begin at `start`. One without a row is left out.
    """
    rows = _between(connection, start, end).annotate(begin=_interval(start, length))
    found = rows.values_list("begin").annotate(**_sums()).order_by("begin")
    return {start + begin: counts for begin, *counts in found}


@in_autocommit
def by_task(connection: Any, start: int, end: int) -> dict[str, tuple[int, Counts]]:
    """Return the last of these minutes in which a task ended, and their sums, by task."""
    rows = _between(connection, start, end).values_list("task_name")
    found = rows.annotate(last=Max("minute"), **_sums()).order_by("task_name")
    return {name: (last, counts) for name, last, *counts in found}


@in_autocommit
def by_queue(connection: Any, start: int, end: int) -> dict[str, Counts]:
    """Return the sums of these minutes, by queue."""
    rows = _between(connection, start, end).values_list("queue")
    return {name: counts for name, *counts in rows.annotate(**_sums()).order_by("queue")}


@in_autocommit
def by_task_and_queue(connection: Any, start: int, end: int) -> dict[tuple[str, str], Counts]:
    """Return the sums of these minutes, by task and queue."""
    rows = _between(connection, start, end).values_list("task_name", "queue")
    found = rows.annotate(**_sums()).order_by("task_name", "queue")
    return {(name, queue): counts for name, queue, *counts in found}


@in_autocommit
def ends_by_task(
    connection: Any, start: int, end: int, length: int, names: Sequence[str]
) -> dict[str, dict[int, list[int]]]:
    """Return how calls of these tasks ended, as `Minute.ENDS`, by task and interval."""
    rows = _between(connection, start, end).filter(task_name__in=names)
    found = (
        rows.annotate(begin=_interval(start, length))
        .values_list("task_name", "begin")
        .annotate(**{f"{name}_sum": Sum(name) for name in Minute.ENDS})
        .order_by("task_name", "begin")
    )
    ends: dict[str, dict[int, list[int]]] = {}
    for name, begin, *counts in found:
        ends.setdefault(name, {})[start + begin] = counts
    return ends


def _between(connection: Any, start: int, end: int) -> QuerySet[Minute]:
    rows = Minute.objects.using(connection.alias)
    return rows.filter(span__in=[SPAN, LONG_SPAN], minute__gte=start, minute__lt=end)


def _interval(start: int, length: int) -> Any:
    return F("minute") - start - (F("minute") - start) % length


def _sums() -> dict[str, Sum]:
    return {f"{name}_sum": Sum(name) for name in COLUMNS}
