"""Read what waits, runs and failed, from the first rows of an index: no read grows with the table.

The figures over time are in `store/minutes.py`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, QuerySet
from django.db.models.functions import Right

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import ENDED, TABLE
from django_toosimple_q.models import QueueStatus, ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.moments import aware
from django_toosimple_q.store.queues import WAITING_COUNTED
from django_toosimple_q.store.texts import TASK_QUEUES, storable_names
from django_toosimple_q.store.transaction import adapt, in_autocommit

States = TaskExec.States

# Failed rows are looked through from the newest on: so many, of which so many count.
FAILED_READ = 20_000
FAILURES_COUNTED = 5_000
# A database may refuse a statement of more parts.
QUEUES_AT_ONCE = 100
# How much of what a call has printed is read for its last line.
OUTPUT_END = 300
FAILED = (States.FAILED, States.INVALID)


class Depth(NamedTuple):
    """How many calls of a queue wait (`WAITING_COUNTED` at most), and the oldest due of those."""

    waiting: int
    oldest: datetime | None


class Failure(NamedTuple):
    """A call that failed for good; `finished` is aware."""

    pk: int
    task_name: str
    error_type: str
    finished: datetime


@in_autocommit
def depths(connection: Any, known: Sequence[str], now: datetime) -> dict[str, Depth]:
    """Return what waits in each queue: QUEUED, or due and not awake yet as no worker lives.

    `known` are names of queues to count, besides those that have rows.
    """
    storable = storable_names(connection, known, TASK_QUEUES)
    names = sorted({*storable, *_waiting_queues(connection)})
    found = {name: Depth(0, None) for name in names}
    for start in range(0, len(names), QUEUES_AT_ONCE):
        found.update(_queued(connection, names[start : start + QUEUES_AT_ONCE]))
    for name, depth in _overdue(connection, now):
        queued = found.get(name, Depth(0, None))
        oldest = min(filter(None, (queued.oldest, depth.oldest)), default=None)
        found[name] = Depth(min(queued.waiting + depth.waiting, WAITING_COUNTED), oldest)
    return found


def _waiting_queues(connection: Any) -> list[str]:
    """Return the queues with QUEUED rows, by one probe of the index for each."""
    hint = database_of(connection).claim_hint
    first = f"SELECT MIN(queue) FROM {TABLE}{hint} WHERE state = 'QUEUED'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE names(name) AS ({first} UNION ALL"
            f" SELECT ({first} AND queue > names.name) FROM names WHERE names.name IS NOT NULL)"
            " SELECT name FROM names WHERE name IS NOT NULL"
        )
        return [name for (name,) in cursor.fetchall()]


def _queued(connection: Any, names: Sequence[str]) -> Iterator[tuple[str, Depth]]:
    database = database_of(connection)
    # In the order of the claim's index, so that it is read and nothing is sorted.
    one = (
        f"SELECT %s AS name, COUNT(*), {database.readable_moment('MIN(due)')}"
        f" FROM (SELECT due FROM {TABLE}{database.claim_hint} WHERE state = 'QUEUED' AND queue = %s"
        " ORDER BY queue, concurrency_key, priority DESC, due, id LIMIT %s) AS first"
    )
    params = [value for name in names for value in (name, name, WAITING_COUNTED)]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([one] * len(names)), params)
        for name, waiting, oldest in cursor.fetchall():
            yield name, Depth(waiting, database.moment(oldest))


def _overdue(connection: Any, now: datetime) -> Iterator[tuple[str, Depth]]:
    database = database_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT queue, COUNT(*), {database.readable_moment('MIN(due)')}"
            f" FROM (SELECT queue, due FROM {TABLE} WHERE state = 'SLEEPING' AND due <= %s"
            " ORDER BY due LIMIT %s) AS first GROUP BY queue",
            [adapt(connection, now), WAITING_COUNTED],
        )
        for name, waiting, oldest in cursor.fetchall():
            yield name, Depth(waiting, database.moment(oldest))


@in_autocommit
def sleeping(connection: Any, now: datetime) -> Depth:
    """Return how many calls are due later, `WAITING_COUNTED` at most, and the next due."""
    database = database_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COUNT(*), {database.readable_moment('MIN(due)')} FROM (SELECT due FROM {TABLE}"
            " WHERE state = 'SLEEPING' AND due > %s ORDER BY due LIMIT %s) AS first",
            [adapt(connection, now), WAITING_COUNTED],
        )
        count, first = cursor.fetchone()
    return Depth(count, database.moment(first))


@in_autocommit
def running_by_queue(connection: Any) -> dict[str, int]:
    """Return how many calls are claimed or run, by queue."""
    rows = _running(connection).values_list("queue")
    return dict(rows.annotate(count=Count("pk")).order_by("queue"))


@in_autocommit
def running_by_worker(connection: Any) -> dict[int | None, int]:
    """Return how many calls are claimed or run, by the id of the worker's row."""
    rows = _running(connection).values_list("worker_id")
    return dict(rows.annotate(count=Count("pk")).order_by("worker_id"))


@in_autocommit
def running(connection: Any, limit: int) -> list[TaskExec]:
    """Return the calls that have run for longest, without payloads.

    Each has the end of its output as `output_end`.
    """
    columns = (
        *("task_name", "queue", "attempt", "started", "cancelled", "state", "worker_id"),
        *("progress_done", "progress_total", "progress_message"),
    )
    rows = _running(connection).only(*columns).annotate(output_end=Right("output_tail", OUTPUT_END))
    return list(rows.order_by("started", "pk")[:limit])


def _running(connection: Any) -> QuerySet[TaskExec]:
    return TaskExec.objects.using(connection.alias).filter(state=States.PROCESSING)


@in_autocommit
def failures(connection: Any, since: datetime, most: int = FAILURES_COUNTED) -> list[Failure]:
    """Return the newest calls that failed for good since then, so many at most."""
    return sorted(
        (one for state in FAILED for one in _failed(connection, state, since, most)),
        key=lambda one: one.finished,
        reverse=True,
    )[:most]


def _failed(connection: Any, state: str, since: datetime, most: int) -> Iterator[Failure]:
    database = database_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, task_name, error_type,"
            f" {database.readable_moment('finished')} FROM"
            f" (SELECT id, task_name, error_type, finished, replaced_by_id FROM {TABLE}"
            f" WHERE {ENDED} AND state = '{States(state).value}' AND finished >= %s"
            " ORDER BY finished DESC LIMIT %s) AS newest"
            " WHERE replaced_by_id IS NULL ORDER BY finished DESC LIMIT %s",
            [adapt(connection, since), FAILED_READ, most],
        )
        for pk, name, error_type, finished in cursor.fetchall():
            yield Failure(pk, name, error_type, aware(database.moment(finished)))


@in_autocommit
def held(connection: Any) -> int:
    """Return how many calls are held for a person, among the newest interrupted ones."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COUNT(*) FROM (SELECT hold, started, replaced_by_id FROM {TABLE}"
            f" WHERE {ENDED} AND state = 'INTERRUPTED' ORDER BY finished DESC LIMIT %s) AS newest"
            " WHERE hold = %s AND started IS NOT NULL AND replaced_by_id IS NULL",
            [FAILED_READ, True],
        )
        return int(cursor.fetchone()[0])


@in_autocommit
def queues(connection: Any) -> list[QueueStatus]:
    """Return the rows of queues, by name."""
    return list(QueueStatus.objects.using(connection.alias).order_by("name"))


@in_autocommit
def workers(connection: Any, since: datetime) -> list[WorkerStatus]:
    """Return the workers that have neither ended nor been declared dead before `since`."""
    rows = WorkerStatus.objects.using(connection.alias).exclude(stopped__lt=since)
    return list(rows.exclude(rescued__lt=since).defer("exit_log", "tasks").order_by("label"))


@in_autocommit
def schedules(connection: Any) -> list[ScheduleExec]:
    """Return the rows of schedules, by name."""
    return list(ScheduleExec.objects.using(connection.alias).order_by("name"))
