"""One sentence on whether all is well, and what to do if it is not."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from django.utils.translation import gettext as _

from django_toosimple_q.models import ScheduleExec
from django_toosimple_q.overview import findings
from django_toosimple_q.overview.findings import waited
from django_toosimple_q.overview.now import Present

OK, WARNING, ERROR = "ok", "warning", "error"
# How long a call may wait where no worker takes it, and where some do.
UNATTENDED_AFTER = timedelta(seconds=15)
LATE_AFTER = timedelta(minutes=5)


class Verdict(NamedTuple):
    """How things stand: level "ok", "warning" or "error", a sentence, and the cure or "".

    Commands in the cure stand between backticks.
    """

    level: str
    sentence: str
    cure: str = ""


def verdict(present: Present) -> Verdict:
    """Return the gravest thing there is to say."""
    rules: tuple[Callable[[Present], Verdict | None], ...] = (
        *(_no_worker, _unattended, _broken, _gone, _late, _failed, _to_decide, _paused),
    )
    for rule in rules:
        found = rule(present)
        if found is not None:
            return found
    return Verdict(OK, *findings.well(len(present.alive)))


def _no_worker(present: Present) -> Verdict | None:
    if present.alive:
        return None
    sentence, cure = findings.no_worker(present.queues, present.now)
    if present.waiting:
        return Verdict(ERROR, sentence, cure)
    return Verdict(WARNING, f"{sentence} {_('Nothing waits for one.')}", cure)


def _unattended(present: Present) -> Verdict | None:
    found = [
        one
        for one in present.queues
        if one.unattended and waited(one, present.now) > UNATTENDED_AFTER
    ]
    return Verdict(ERROR, *findings.unattended(found, present.now)) if found else None


def _broken(present: Present) -> Verdict | None:
    found = [one.name for one in present.schedules if one.state == ScheduleExec.States.BROKEN]
    return Verdict(ERROR, *findings.broken(found)) if found else None


def _gone(present: Present) -> Verdict | None:
    found = [one.row.label for one in present.workers if one.gone]
    return Verdict(WARNING, *findings.gone(found)) if found else None


def _late(present: Present) -> Verdict | None:
    found = [
        one
        for one in present.queues
        if one.paused is None and waited(one, present.now) > LATE_AFTER
    ]
    return Verdict(WARNING, *findings.late(found, present.now)) if found else None


def _failed(present: Present) -> Verdict | None:
    return Verdict(WARNING, *findings.failed(present.failures)) if present.failures else None


def _to_decide(present: Present) -> Verdict | None:
    return Verdict(WARNING, *findings.held(present.held)) if present.held else None


def _paused(present: Present) -> Verdict | None:
    found = [one for one in present.queues if one.paused is not None and one.waiting]
    return Verdict(WARNING, *findings.paused(found, present.now)) if found else None
