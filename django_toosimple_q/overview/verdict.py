"""One sentence on whether all is well, and what to do if it is not."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_toosimple_q.models import ScheduleExec
from django_toosimple_q.moments import aware
from django_toosimple_q.overview.now import Present, QueueFigures
from django_toosimple_q.text import printable, span

OK, WARNING, ERROR = "ok", "warning", "error"
# How long a call may wait where no worker takes it, and where some do.
ABANDONED_AFTER = timedelta(seconds=15)
LATE_AFTER = timedelta(minutes=5)
NAMED, NAME_LENGTH = 5, 60


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
        *(_no_worker, _abandoned, _broken, _gone, _late, _failed, _to_decide, _paused),
    )
    for rule in rules:
        found = rule(present)
        if found is not None:
            return found
    return _well(present)


def _no_worker(present: Present) -> Verdict | None:
    if present.alive:
        return None
    cure = _("Start `manage.py worker`.")
    if present.waiting:
        return Verdict(ERROR, _("No worker is alive: %s.") % _waits(present, present.queues), cure)
    return Verdict(WARNING, _("No worker is alive. Nothing waits for one."), cure)


def _abandoned(present: Present) -> Verdict | None:
    found = [
        one
        for one in present.queues
        if not one.workers and one.paused is None and _waited(present, one) > ABANDONED_AFTER
    ]
    if not found:
        return None
    names = " ".join(f"--queue {shlex.quote(_shown(one.name))}" for one in found[:NAMED])
    text = ngettext(
        "Nobody takes queue %(names)s: %(waits)s.",
        "Nobody takes the queues %(names)s: %(waits)s.",
        len(found),
    )
    values = {"names": _names([one.name for one in found]), "waits": _waits(present, found)}
    return Verdict(ERROR, text % values, _("Start `manage.py worker %s`.") % names)


def _broken(present: Present) -> Verdict | None:
    found = [one for one in present.schedules if one.state == ScheduleExec.States.BROKEN]
    if not found:
        return None
    text = _("The calls of schedule %s cannot be queued.") % _names([one.name for one in found])
    return Verdict(ERROR, text, _("The page of the schedule says why."))


def _gone(present: Present) -> Verdict | None:
    found = [one for one in present.workers if one.gone]
    if not found:
        return None
    text = ngettext(
        "Worker %s was lost in the last hour.",
        "The workers %s were lost in the last hour.",
        len(found),
    )
    cure = _("The others take over what it ran. Look for its end in the system's log.")
    return Verdict(WARNING, text % _names([one.row.label for one in found]), cure)


def _late(present: Present) -> Verdict | None:
    found = [
        one for one in present.queues if one.paused is None and _waited(present, one) > LATE_AFTER
    ]
    if not found:
        return None
    text = ngettext(
        "Queue %(names)s is late: %(waits)s.",
        "The queues %(names)s are late: %(waits)s.",
        len(found),
    )
    values = {"names": _names([one.name for one in found]), "waits": _waits(present, found)}
    return Verdict(WARNING, text % values, _("Start more workers, or more `--processes`."))


def _failed(present: Present) -> Verdict | None:
    count = present.failures
    if not count:
        return None
    text = ngettext(
        "%d call failed for good in the last hour.",
        "%d calls failed for good in the last hour.",
        count,
    )
    return Verdict(WARNING, text % count, _("`manage.py tasks --failed` says why."))


def _to_decide(present: Present) -> Verdict | None:
    if not present.held:
        return None
    text = ngettext(
        "%d interrupted call waits for a person to decide.",
        "%d interrupted calls wait for a person to decide.",
        present.held,
    )
    return Verdict(WARNING, text % present.held, _("Queue it again, or delete its row."))


def _paused(present: Present) -> Verdict | None:
    found = [one for one in present.queues if one.paused is not None and one.waiting]
    if not found:
        return None
    text = ngettext(
        "Queue %(names)s is paused: %(waits)s.",
        "The queues %(names)s are paused: %(waits)s.",
        len(found),
    )
    values = {"names": _names([one.name for one in found]), "waits": _waits(present, found)}
    return Verdict(WARNING, text % values, _("Resume it when its calls may run again."))


def _well(present: Present) -> Verdict:
    count = len(present.alive)
    text = ngettext(
        "All well: %d worker, nothing late, no failures in the last hour.",
        "All well: %d workers, nothing late, no failures in the last hour.",
        count,
    )
    return Verdict(OK, text % count)


def _waited(present: Present, queue: QueueFigures) -> timedelta:
    return timedelta(0) if queue.oldest is None else aware(present.now) - aware(queue.oldest)


def _waits(present: Present, queues: Iterable[QueueFigures]) -> str:
    found = [one for one in queues if one.waiting]
    count = sum(one.waiting for one in found)
    more = "+" if any(one.more for one in found) else ""
    oldest = max((_waited(present, one) for one in found), default=timedelta(0))
    text = ngettext("%(count)s waits, for %(oldest)s", "%(count)s wait, oldest %(oldest)s", count)
    return text % {"count": f"{count}{more}", "oldest": span(oldest, 1)}


def _names(names: Sequence[str]) -> str:
    more = " …" if len(names) > NAMED else ""
    return ", ".join(f'"{_shown(name)}"' for name in names[:NAMED]) + more


def _shown(name: str) -> str:
    name = printable(name)
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
