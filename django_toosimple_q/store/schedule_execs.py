"""The schedules' rows: made, marked, and moved on with the calls that an occurrence queues."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store.step import statement, step
from django_toosimple_q.store.task_execs.enqueue import _insert, new_row
from django_toosimple_q.task import stored_datetime

States = ScheduleExec.States


@statement
def read(connection: Any, names: Collection[str]) -> dict[str, ScheduleExec]:
    """Return the rows of these schedules by name."""
    rows = ScheduleExec.objects.using(connection.alias).filter(name__in=names)
    return {row.name: row for row in rows}


@step
def sync(
    connection: Any, mine: Sequence[Schedule], registered: Collection[str], now: datetime
) -> list[str]:
    """Make the rows that are missing, and mark those INVALID that no code stands behind.

    Returns the names of those that were marked here, and by no other worker.

    A new schedule counts from `now`, so that it runs at its next occurrence; with
    `run_on_creation` it has no past, so that its latest occurrence is due at once.
    """
    rows = ScheduleExec.objects.using(connection.alias)
    names = [one.name for one in mine]
    rows.bulk_create(
        [
            ScheduleExec(name=one.name, last_due=None if one.run_on_creation else now)
            for one in mine
        ],
        ignore_conflicts=True,
    )
    rows.filter(name__in=names, state=States.INVALID).update(state=States.ACTIVE)
    active = rows.filter(state=States.ACTIVE)
    gone = list(active.exclude(name__in=registered).values_list("name", flat=True))
    return [name for name in gone if active.filter(name=name).update(state=States.INVALID)]


@step
def advance(
    connection: Any,
    schedule: Schedule,
    last_due: datetime | None,
    occurrences: Sequence[datetime],
    now: datetime,
) -> list[TaskExec] | None:
    """Move a schedule on from `last_due` and queue a call for each occurrence.

    One transaction: however many workers race, one of them swaps `last_due`, and it queues
    exactly what lies between. The others get None and look again.
    """
    # Equality, never "<": a worker that computed fewer occurrences from the same start would win
    # as well, and queue the first ones twice.
    rows = ScheduleExec.objects.using(connection.alias).filter(name=schedule.name)
    newest = stored_datetime(occurrences[-1])
    swapped = rows.filter(last_due=last_due).update(last_due=newest, state=States.ACTIVE)
    if not swapped:
        return None
    calls = [new_call(schedule, occurrence, now) for occurrence in occurrences]
    task_execs = _insert(connection, calls)
    rows.update(last_task=task_execs[-1])
    return task_execs


@step
def force(connection: Any, schedule: Schedule, now: datetime) -> TaskExec:
    """Queue a schedule's call by hand, now; when it runs next stays as it was."""
    task_exec = _insert(connection, [new_call(schedule, now, now)])[0]
    rows = ScheduleExec.objects.using(connection.alias).filter(name=schedule.name)
    rows.update(last_task=task_exec)
    return task_exec


def new_call(schedule: Schedule, occurrence: datetime, now: datetime) -> TaskExec:
    """Return the unsaved row of an occurrence: due when it was, so that older ones run first."""
    args, kwargs = schedule.call_at(occurrence)
    state = TaskExec.States.QUEUED
    due = stored_datetime(occurrence)
    return new_row(schedule.task, args, kwargs, due=due, now=now, state=state)
