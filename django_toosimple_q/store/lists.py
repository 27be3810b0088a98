"""Read what bounds a list of calls: how many are in each part, and how far back a list looks.

No statement reads more rows than its bound, however many there are.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Q
from django.db.models.expressions import RawSQL

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import ENDED, TABLE
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.moments import project_datetime
from django_toosimple_q.store.transaction import adapt, in_autocommit

States = TaskExec.States

COUNTED = 1_000
# Those of a part that ended badly are counted among so many: a retry has replaced most of them.
COUNTED_AMONG = 20_000
# A filter or a search looks through so many rows.
SEARCHED = 50_000
# Those that ended badly lie far apart, so each of them is a page to read.
BAD_SEARCHED = 20_000
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
    """The rows that a list looks through.

    stopped_at: the moment or id where it stopped, None if it reached the last row. bound: how many
    rows it looks through then.
    """

    condition: Q
    stopped_at: Any = None
    bound: int = 0


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
    rows = TaskExec.objects.order_by("-pk").values_list("pk", flat=True)
    last = _after(rows, SEARCHED)
    return Window(Q() if last is None else Q(pk__gt=last), last, SEARCHED)


@in_autocommit
def ended(
    connection: Any, states: Sequence[str], since: datetime | None, until: datetime | None
) -> Window:
    """Return the rows of these states that ended last, within a time if one is given."""
    bound = SEARCHED if States.SUCCEEDED in states else BAD_SEARCHED
    last = _last_ended(connection, states, since, until, bound)
    within = _within("finished", since if last is None else last, until)
    # One by one, or PostgreSQL reads the whole table. And spelled as in the index of ended rows, or
    # SQLite does not use it.
    parts = [Q(state__in=ENDED_STATES, state=state) & within for state in states]
    return Window(reduce(or_, parts), last, bound)


def _last_ended(
    connection: Any,
    states: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    bound: int,
) -> datetime | None:
    """Return when the last row ended that is looked through, or None if there are fewer."""
    database = database_of(connection)
    limits = [(">=", since), ("<", until)]
    within = "".join(f" AND finished {sign} %s" for sign, moment in limits if moment is not None)
    moments = [adapt(connection, moment) for _sign, moment in limits if moment is not None]
    # From the index alone, which has the rows of each state in this order.
    newest_of = [
        f"SELECT finished FROM (SELECT finished FROM {TABLE} WHERE {ENDED}"
        f" AND state = '{States(state).value}' AND finished IS NOT NULL{within}"
        f" ORDER BY finished DESC LIMIT %s) AS of_{number}"
        for number, state in enumerate(states)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {database.readable_moment('finished')} FROM"
            f" ({' UNION ALL '.join(newest_of)}) AS newest"
            " ORDER BY finished DESC LIMIT 1 OFFSET %s",
            [*[*moments, bound + 1] * len(states), bound],
        )
        row = cursor.fetchone()
    return None if row is None else project_datetime(database.moment(row[0]))


def sleeping(since: datetime | None, until: datetime | None) -> Window:
    """Return the rows that are due next."""
    condition = Q(state=States.SLEEPING) & _within("due", since, until)
    # By its id: values are selected by an expression, by which Django would order then, and no
    # index has that.
    rows = TaskExec.objects.filter(condition).order_by("due").values_list("pk", flat=True)
    last = TaskExec.objects.filter(pk=_after(rows, SEARCHED)).values_list("due", flat=True).first()
    return Window(condition if last is None else condition & Q(due__lte=last), last, SEARCHED)


def processing(since: datetime | None, until: datetime | None) -> Window:
    """Return the rows that are claimed or run: no more than the workers have places for."""
    return Window(Q(state=States.PROCESSING) & _within("started", since, until))


@in_autocommit
def waiting(
    connection: Any, since: datetime | None, until: datetime | None, queue: str | None
) -> Window:
    """Return the rows that are claimed next, of one queue or of all."""
    within = _within("due", since, until)
    hint = database_of(connection).claim_hint
    of_queue, params = ("", []) if queue is None else (" AND queue = %s", [queue])
    order = WAITING_ORDER if queue is None else WAITING_ORDER.removeprefix("queue, ")
    first = f"SELECT id FROM {TABLE}{hint} WHERE state = 'QUEUED'{of_queue} ORDER BY {order}"
    with connection.cursor() as cursor:
        cursor.execute(f"{first} LIMIT 1 OFFSET %s", [*params, WAITING_LISTED])
        row = cursor.fetchone()
    if row is None:
        return Window(Q(state=States.QUEUED) & within)
    # MariaDB takes a limit in a subquery only two levels down. Not by their state as well, by which
    # it would look through all that waits.
    ids = RawSQL(f"SELECT id FROM ({first} LIMIT %s) AS first", [*params, WAITING_LISTED])
    return Window(Q(pk__in=ids) & within, row[0], WAITING_LISTED)


def _after(ids: Any, bound: int) -> Any:
    """Return the first id that is not looked through, or None if there is none."""
    return next(iter(ids[bound : bound + 1]), None)


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
