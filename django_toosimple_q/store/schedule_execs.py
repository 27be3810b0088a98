"""The rows of schedules: create them, mark them, advance them and queue their calls."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from django.db.models import Value
from django.db.models.functions import Concat, Left

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import SCHEDULES, marks
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.moments import AHEAD, aware
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store.enqueue import new_row
from django_toosimple_q.store.insert import add
from django_toosimple_q.store.schedule_runs import RECENT_LENGTH, recent_ids
from django_toosimple_q.store.texts import SCHEDULE_NAMES, holds, storable, storable_names
from django_toosimple_q.store.transaction import (
    adapt,
    in_autocommit,
    in_bounded_transaction,
    in_transaction,
)

States = ScheduleExec.States


@in_bounded_transaction
def read(connection: Any, names: Collection[str]) -> dict[str, datetime | None]:
    """Return the last occurrence that each of these schedules has handled, by name."""
    names = storable_names(connection, names, SCHEDULE_NAMES)
    rows = ScheduleExec.objects.using(connection.alias).filter(name__in=names)
    found = rows.values_list("name", "last_due")
    return {name: last_due and aware(last_due) for name, last_due in found}


@in_bounded_transaction
def sync(
    connection: Any, mine: Sequence[Schedule], registered: Collection[str], now: datetime
) -> list[str]:
    """Create the rows that are missing, and mark rows INVALID whose schedule the code lost.

    Returns the names of those that were marked here, and by no other worker.

    A new schedule counts from `now`, so that it runs at its next occurrence; with
    `run_on_creation` it has no past, so that its latest occurrence is due at once.
    """
    rows = ScheduleExec.objects.using(connection.alias)
    mine = [one for one in mine if holds(connection, one.name, SCHEDULE_NAMES)]
    registered = storable_names(connection, registered, SCHEDULE_NAMES)
    names = [one.name for one in mine]
    rows.bulk_create(
        [
            ScheduleExec(
                name=one.name,
                last_due=None if one.run_on_creation else now,
                expression=one.expression_text,
            )
            for one in mine
        ],
        ignore_conflicts=True,
    )
    rows.filter(name__in=names, state=States.INVALID).update(state=States.ACTIVE)
    active = rows.exclude(state=States.INVALID)
    gone = list(active.exclude(name__in=registered).values_list("name", flat=True))
    return [name for name in gone if active.filter(name=name).update(state=States.INVALID)]


class Change(NamedTuple):
    """A schedule whose expression was edited, and which follows the new one from a moment on."""

    schedule: Schedule
    former: str
    since: datetime


@in_bounded_transaction
def adopt(
    connection: Any, schedules: Sequence[Schedule], now: datetime
) -> tuple[dict[str, Schedule], list[Change]]:
    """Let schedules that were edited follow their new expressions, and return the changes.

    One that catches up first follows the former expression in what it has missed. Those that have
    not come to its end are returned by name, as they were.
    """
    by_name = {one.name: one for one in schedules}
    names = storable_names(connection, by_name, SCHEDULE_NAMES)
    rows = ScheduleExec.objects.using(connection.alias).filter(name__in=names)
    behind: dict[str, Schedule] = {}
    changes: list[Change] = []
    for name, text, last_due in rows.values_list("name", "expression", "last_due"):
        one = by_name[name]
        if text == one.expression_text:
            continue
        last = aware(last_due) if last_due and text and one.catch_up else None
        former = one.with_expression(text) if last else None
        if former and any(former.missed(last, now)):
            behind[name] = former
            continue
        moves = {"last_due": max(last, now)} if last else {}
        same = rows.filter(name=name, expression=text, last_due=last_due)
        if same.update(expression=one.expression_text, **moves) and moves:
            changes.append(Change(one, text, moves["last_due"]))
    return behind, changes


class DueSchedule(NamedTuple):
    """Occurrences for a schedule to queue, if it still stands where it was read."""

    schedule: Schedule
    last_due: datetime | None
    occurrences: Sequence[datetime]


class Standing(NamedTuple):
    """The row of a schedule: its id, the last occurrence that it has handled, whether it is paused,
    and the ids of its last calls."""

    pk: int
    last_due: datetime | None
    paused: bool
    recent: str


class Advance(NamedTuple):
    """What became of schedules that were due, by their names.

    moved: schedules that another worker has advanced, and where they stand now.
    paused: schedules that a person has paused; they stay where they are.
    A name that is in none of them has no row, or another session has locked it.
    """

    queued: dict[str, list[TaskExec]]
    moved: dict[str, datetime | None]
    paused: frozenset[str] = frozenset()


def advance(due_schedules: Sequence[DueSchedule], now: datetime) -> Advance:
    """Advance schedules, and queue a call for each occurrence; see `DueSchedule`.

    One transaction: however many workers race, one of them moves `last_due`, and it queues exactly
    what lies between. A row that another session has locked is passed over.
    """
    # What others have moved since needs no lock, and code of a site that makes up a call, such as
    # `unique_by`, may take its time before one.
    found = read([one.schedule.name for one in due_schedules])
    calls = [
        (one, [new_call(one.schedule, occurrence, now) for occurrence in one.occurrences])
        for one in due_schedules
        if one.schedule.name in found and one.last_due == found[one.schedule.name]
    ]
    ours = {one.schedule.name for one, _ in calls}
    moved = {name: last_due for name, last_due in found.items() if name not in ours}
    if not calls:
        return Advance({}, moved)
    advance = _advance(calls)
    return Advance(advance.queued, moved | advance.moved, advance.paused)


@in_bounded_transaction
def _advance(connection: Any, calls: Sequence[tuple[DueSchedule, list[TaskExec]]]) -> Advance:
    rows = _lock(connection, [one.schedule.name for one, _ in calls])
    # Equality, never "<": a worker that computed fewer occurrences from the same start would win
    # as well, and queue the first ones twice.
    paused = frozenset(name for name, row in rows.items() if row.paused)
    mine = [
        (one.schedule.name, one, new)
        for one, new in calls
        if one.schedule.name in rows.keys() - paused
        and one.last_due == rows[one.schedule.name].last_due
    ]
    added = iter(add(connection, [row for _, _, new in mine for row in new]))
    queued = {name: list(islice(added, len(new))) for name, _, new in mine}
    if mine:
        database_of(connection).write_rows(
            connection,
            SCHEDULES,
            ("last_due", "last_task_id", "state", "error", "failed", "recent"),
            [
                (
                    rows[name].pk,
                    adapt(connection, one.occurrences[-1]),
                    queued[name][-1].pk,
                    *(States.ACTIVE.value, "", None),
                    recent_ids(rows[name].recent, queued[name]),
                )
                for name, one, _ in mine
            ],
        )
    left = rows.keys() - queued.keys() - paused
    return Advance(queued, {name: rows[name].last_due for name in left}, paused)


class Ahead(NamedTuple):
    """A schedule whose last occurrence lies ahead: until when it had queued, and after when it now
    goes on."""

    schedule: Schedule
    before: datetime
    after: datetime


@in_bounded_transaction
def set_back(connection: Any, schedules: Sequence[Schedule], now: datetime) -> list[Ahead]:
    """Let schedules whose `last_due` lies ahead go on from `now`, and return those that this moved.

    A clock that was ahead has written it. What was queued since has its row, due when it occurred;
    it is not queued again. Rows that another session has locked are passed over.
    """
    rows = _lock(connection, [one.name for one in schedules])
    ahead = [
        (one, last_due)
        for one in schedules
        if one.name in rows
        and (last_due := rows[one.name].last_due) is not None
        and last_due > now + AHEAD
    ]
    if not ahead:
        return []
    queued = _queued_after(connection, {one.task.name for one, _ in ahead}, now)
    found = [
        Ahead(one, last_due, one.resume_after(now, queued.get(one.task.name, ())))
        for one, last_due in ahead
    ]
    database_of(connection).write_rows(
        connection,
        SCHEDULES,
        ("last_due",),
        [(rows[one.schedule.name].pk, adapt(connection, one.after)) for one in found],
    )
    return found


def _queued_after(
    connection: Any, task_names: Collection[str], now: datetime
) -> dict[str, set[datetime]]:
    """Return for which later moments calls of these tasks were queued, by the task's name."""
    rows = TaskExec.objects.using(connection.alias).exclude(state=TaskExec.States.SLEEPING)
    queued: dict[str, set[datetime]] = {}
    for name, due in rows.filter(task_name__in=task_names, due__gt=now).values_list(
        "task_name", "due"
    ):
        queued.setdefault(name, set()).add(aware(due))
    return queued


def _lock(connection: Any, names: Sequence[str]) -> dict[str, Standing]:
    """Lock the rows of schedules that no other session has locked; return them by name."""
    database = database_of(connection)
    where = f"name IN ({marks(names)})"
    columns = ("id", "name", "last_due", "paused", "recent")
    rows = database.lock_rows(connection, columns, where, names, len(names), table=SCHEDULES)
    return {
        name: Standing(pk, database.moment(last), paused is not None, recent)
        for pk, name, last, paused, recent in rows
    }


@in_autocommit
def mark_broken(connection: Any, name: str, error: str, now: datetime) -> None:
    """Record that a schedule's calls cannot be queued. Its occurrences stay where they are."""
    rows = ScheduleExec.objects.using(connection.alias).filter(name=name)
    rows.update(state=States.BROKEN, error=storable(connection, error), failed=now)


@in_autocommit
def broken(connection: Any) -> list[ScheduleExec]:
    """Return the schedules whose calls cannot be queued, by name."""
    rows = ScheduleExec.objects.using(connection.alias).filter(state=States.BROKEN)
    return list(rows.order_by("name"))


@in_transaction
def force(connection: Any, schedule: Schedule, now: datetime) -> TaskExec:
    """Queue a schedule's call by hand, now; when it runs next stays as it was."""
    task_exec = add(connection, [new_call(schedule, now, now)])[0]
    rows = ScheduleExec.objects.using(connection.alias).filter(name=schedule.name)
    # One statement, so that no call which a worker queues meanwhile is forgotten.
    recent = Left(Concat(Value(f"{task_exec.pk} "), "recent"), RECENT_LENGTH)
    rows.update(last_task=task_exec, recent=recent)
    return task_exec


def new_call(schedule: Schedule, occurrence: datetime, now: datetime) -> TaskExec:
    """Return the unsaved row of an occurrence: due when it was, so that older ones run first."""
    args, kwargs = schedule.call_at(occurrence)
    state = TaskExec.States.QUEUED
    return new_row(schedule.task, args, kwargs, due=occurrence, now=now, state=state)
