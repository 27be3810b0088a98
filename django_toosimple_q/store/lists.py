"""Read what bounds a list of calls: how many are in each part, and how far back a list looks.

No statement reads more rows than its bound, however many there are.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Q

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import ENDED, TABLE
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.store.transaction import in_autocommit

States = TaskExec.States

COUNTED = 1_000
# Those of a part that ended badly are counted among so many: a retry has replaced most of them.
COUNTED_AMONG = 20_000
# A filter or a search looks through so many rows.
SEARCHED = 50_000
# What waits is in the order of its claim, which has no single column to stop at.
WAITING_LISTED = 10_000
ERRORS_READ = 1_000
WORKERS_LISTED = 30
WAITING_ORDER = "queue, concurrency_key, priority DESC, due, id"

# In the order of the index's condition.
ENDED_STATES = ("SUCCEEDED", "INTERRUPTED", "FAILED", "INVALID")

NOT_REPLACED = "replaced_by_id IS NULL"
FOR_A_PERSON = "hold = %s AND started IS NOT NULL"
# The parts of a list: states, the index order, the columns that are looked at, and the condition.
PARTS: Mapping[str, tuple[Sequence[str], str, str]] = {
    "active": (("PROCESSING",), "worker_id", ""),
    "pending": (("QUEUED",), WAITING_ORDER, ""),
    "future": (("SLEEPING",), "due", ""),
    "failed": (("FAILED", "INVALID"), "finished DESC", NOT_REPLACED),
    "held": (("INTERRUPTED",), "finished DESC", f"{NOT_REPLACED} AND {FOR_A_PERSON}"),
    "interrupted": (("INTERRUPTED",), "finished DESC", f"{NOT_REPLACED} AND NOT ({FOR_A_PERSON})"),
    "done": (("SUCCEEDED",), "finished DESC", ""),
}


class Window(NamedTuple):
    """The rows that a list looks through, and the moment or id where it stopped if it did."""

    condition: Q
    stopped_at: Any


@in_autocommit
def counts(connection: Any) -> dict[str, int]:
    """Return how many calls are in each part, `COUNTED` + 1 at most."""
    statements, params, names = [], [], []
    for name, (states, order, condition) in PARTS.items():
        for state in states:
            sql, given = _count(connection, state, order, condition)
            statements.append(sql)
            params += given
            names.append(name)
    found = dict.fromkeys(PARTS, 0)
    with connection.cursor() as cursor:
        numbered = (f"SELECT {number} AS part, {sql}" for number, sql in enumerate(statements))
        cursor.execute(" UNION ALL ".join(numbered), params)
        for number, count in cursor.fetchall():
            name = names[number]
            found[name] = min(found[name] + count, COUNTED + 1)
    return found


def _count(connection: Any, state: str, order: str, condition: str) -> tuple[str, list[Any]]:
    hint = database_of(connection).claim_hint if state == "QUEUED" else ""
    ended = f"{ENDED} AND " if state in States.done() else ""
    rows = (
        f"SELECT {'replaced_by_id, hold, started' if condition else 'id'} FROM {TABLE}{hint}"
        f" WHERE {ended}state = '{state}' ORDER BY {order} LIMIT %s"
    )
    if not condition:
        return f"COUNT(*) FROM ({rows}) AS first", [COUNTED + 1]
    held = [True] * condition.count("%s")
    counted = f"SELECT started FROM ({rows}) AS newest WHERE {condition} LIMIT %s"
    return f"COUNT(*) FROM ({counted}) AS first", [COUNTED_AMONG, *held, COUNTED + 1]


def newest() -> Window:
    """Return the newest rows of all states."""
    last = _last(TaskExec.objects.order_by("-pk"), "pk")
    return Window(Q() if last is None else Q(pk__gt=last), last)


def ended(states: Sequence[str], since: datetime | None, until: datetime | None) -> Window:
    """Return the rows of these states that ended last, within a time if one is given."""
    condition, stopped = Q(pk__in=[]), []
    within = _within("finished", since, until)
    for state in states:
        # Spelled as in the index of ended rows, or SQLite does not use that index.
        one = Q(state__in=ENDED_STATES, state=state) & within
        rows = TaskExec.objects.filter(one, finished__isnull=False).order_by("-finished")
        last = _last(rows, "finished")
        if last is not None:
            one &= Q(finished__gte=last)
            stopped.append(last)
        condition |= one
    return Window(condition, max(stopped, default=None))


def sleeping(since: datetime | None, until: datetime | None) -> Window:
    """Return the rows that are due next."""
    condition = Q(state=States.SLEEPING) & _within("due", since, until)
    rows = TaskExec.objects.filter(condition).order_by("due")
    last = _last(rows, "due")
    return Window(condition if last is None else condition & Q(due__lte=last), last)


def processing(since: datetime | None, until: datetime | None) -> Window:
    """Return the rows that are claimed or run: no more than the workers have places for."""
    return Window(Q(state=States.PROCESSING) & _within("started", since, until), None)


@in_autocommit
def waiting(
    connection: Any, since: datetime | None, until: datetime | None, queue: str | None
) -> Window:
    """Return the rows that are claimed next, of one queue or of all."""
    within = _within("due", since, until)
    hint = database_of(connection).claim_hint
    of_queue, params = ("", []) if queue is None else (" AND queue = %s", [queue])
    order = WAITING_ORDER if queue is None else WAITING_ORDER.removeprefix("queue, ")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {TABLE}{hint} WHERE state = 'QUEUED'{of_queue}"
            f" ORDER BY {order} LIMIT %s",
            [*params, WAITING_LISTED + 1],
        )
        ids = [pk for (pk,) in cursor.fetchall()]
    if len(ids) <= WAITING_LISTED:
        return Window(Q(state=States.QUEUED) & within, None)
    # Not by their state as well, by which MariaDB would look through all that waits.
    return Window(Q(pk__in=ids[:WAITING_LISTED]) & within, ids[WAITING_LISTED])


def _last(rows: Any, column: str) -> Any:
    """Return a value of the last row that is looked through, or None if there are fewer."""
    # By its id: values are selected by an expression, by which Django would order then, and no
    # index has that.
    ids = rows.values_list("pk", flat=True)
    pk = next(iter(ids[SEARCHED : SEARCHED + 1]), None)
    if pk is None or column == "pk":
        return pk
    return TaskExec.objects.filter(pk=pk).values_list(column, flat=True).first()


def _within(column: str, since: datetime | None, until: datetime | None) -> Q:
    condition = Q()
    if since is not None:
        condition &= Q(**{f"{column}__gte": since})
    if until is not None:
        condition &= Q(**{f"{column}__lt": until})
    return condition


@in_autocommit
def error_types(connection: Any) -> list[str]:
    """Return the error types of the calls that failed last."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT error_type FROM (SELECT error_type FROM {TABLE}"
            f" WHERE {ENDED} AND state = 'FAILED' ORDER BY finished DESC LIMIT %s) AS newest",
            [ERRORS_READ],
        )
        return sorted(str(name) for (name,) in cursor.fetchall() if name)


@in_autocommit
def worker_labels(connection: Any) -> list[tuple[int, str]]:
    """Return the ids and labels of the workers that were seen last."""
    rows = WorkerStatus.objects.using(connection.alias).order_by("-last_tick", "-pk")
    return list(rows.values_list("pk", "label")[:WORKERS_LISTED])


@in_autocommit
def labels_of(connection: Any, workers: Collection[int]) -> dict[int, str]:
    """Return the labels of workers by their ids, of those that have a row."""
    rows = WorkerStatus.objects.using(connection.alias).filter(pk__in=workers)
    return dict(rows.values_list("pk", "label")) if workers else {}
