"""What a person should know of a schedule: why it does not run, and what to do about it."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from django.utils.translation import gettext as _

from django_toosimple_q.admin import markup
from django_toosimple_q.exceptions import said
from django_toosimple_q.models import ScheduleExec
from django_toosimple_q.moments import aware
from django_toosimple_q.overview.upcoming import missed
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store.schedule_runs import Run
from django_toosimple_q.text import printable

REASON_LENGTH = 500


class Note(NamedTuple):
    """A fact, and its cure. `bad` tells what went wrong from what a person wants so."""

    fact: str
    cure: str
    bad: bool = True


class Dues(NamedTuple):
    """The next occurrences of a schedule (aware), and why they cannot be computed or ""."""

    moments: list[datetime]
    reason: str


def dues(schedule: Schedule | None, now: datetime, count: int) -> Dues:
    """Return at most `count` occurrences after `now`. Whatever is wrong becomes the reason."""
    try:
        return Dues(list(islice(occurrences(schedule, now), count)), "")
    except Exception as error:  # what croniter or the zone makes of a broken expression
        return Dues([], markup.cut(printable(said(error)), REASON_LENGTH))


def occurrences(schedule: Schedule | None, now: datetime) -> Iterator[datetime]:
    """Yield the occurrences after `now`, without end. A manual schedule has none."""
    if schedule is None or schedule.expression.manual:
        return
    moment = schedule.expression.next(now)
    while moment is not None:
        yield moment
        moment = schedule.expression.next(moment)


def last_due(row: ScheduleExec, runs: Callable[[], Sequence[Run]] = tuple) -> datetime | None:
    """Return the last occurrence that was queued, or None if there is none that is known.

    `runs` reads its last calls, should its last one not tell.

    A new schedule counts from the moment at which it was found, and one that was paused from the
    moment at which it went on. Neither is an occurrence, and a manual schedule has none at all.
    """
    schedule, queued = row.schedule, row.last_task.due if row.last_task else None
    if schedule is not None and schedule.expression.manual:
        return None
    if row.last_due is not None and (row.last_due == queued or _occurs(schedule, row.last_due)):
        return row.last_due
    if queued is not None and _occurs(schedule, queued):
        return queued
    dues = (run.first.due for run in runs())
    return next((due for due in dues if _occurs(schedule, due)), None)


def _occurs(schedule: Schedule | None, moment: datetime) -> bool:
    """Return whether a moment is an occurrence of a schedule."""
    try:
        return schedule is not None and schedule.expression.latest(aware(moment)) == aware(moment)
    except Exception:  # as in `dues`
        return False


def notes(row: ScheduleExec, now: datetime) -> Iterator[Note]:
    """Yield what keeps a schedule from running, each with its cure."""
    schedule = row.schedule
    if schedule is None:
        yield Note(
            _("The code does not define this schedule, so it does not run."),
            _("Restore its definition and restart the workers, or delete this row."),
        )
    if row.paused is not None:
        yield _paused(row, row.paused)
    if schedule is None:
        return
    if row.state == ScheduleExec.States.INVALID:
        yield Note(
            _("A worker whose code lacks this schedule has marked it as invalid."),
            _("Start a worker that has the present code: %(command)s") % {"command": start(row)},
        )
    if row.state == ScheduleExec.States.BROKEN:
        yield Note(
            _("Its calls cannot be queued; the error is below."),
            _(
                "Correct the schedule or its task, and restart the workers. Until then they try"
                " again every few minutes."
            ),
        )
    reason = dues(schedule, now, 1).reason
    if reason:
        yield Note(
            _("Its next occurrence cannot be computed: %(reason)s") % {"reason": reason},
            _("Correct its expression, and restart the workers."),
        )
    elif row.state != ScheduleExec.States.BROKEN and (late := missed(row, now)):
        yield Note(
            _("No worker has queued the occurrence of %(moment)s.")
            % {"moment": markup.exact(late.astimezone(schedule.expression.timezone))},
            _(
                "A worker that runs a task in its only process looks after schedules when that has"
                " ended. If none is busy, start one: %(command)s"
            )
            % {"command": start(row)},
        )


def _paused(row: ScheduleExec, since: datetime) -> Note:
    fact = _("It has been paused since %(moment)s, so its expression queues nothing.")
    cure = (
        _("“Resume” lets it go on, and queue what it has missed meanwhile.")
        if row.schedule is not None and row.schedule.catch_up
        else _("“Resume” lets it go on at its next occurrence.")
    )
    # Django shows the names of permissions as they are in the code.
    needs = _("That takes the permission “%s”.") % "Can pause and resume schedules"
    return Note(fact % {"moment": markup.exact(markup.local(since))}, f"{cure} {needs}", bad=False)


def start(row: ScheduleExec) -> str:
    """Return the command that starts a worker which looks after a schedule."""
    queue = row.schedule.queue_name if row.schedule else "default"
    return f"`manage.py worker --queue {shlex.quote(printable(queue))}`"
