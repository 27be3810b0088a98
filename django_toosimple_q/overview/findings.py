"""What there is to say of the queue: sentences and their cures, in the active language."""

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_toosimple_q.moments import aware
from django_toosimple_q.overview.now import QueueFigures
from django_toosimple_q.overview.spans import span
from django_toosimple_q.text import printable

NAMED, NAME_LENGTH = 5, 60


class Finding(NamedTuple):
    """A sentence, and the cure or "". Commands in the cure stand between backticks."""

    sentence: str
    cure: str = ""


def no_worker(queues: Sequence[QueueFigures], now: datetime) -> Finding:
    """Say that no worker is alive, and what waits in these queues."""
    cure = _("Start `manage.py worker`.")
    if not any(one.waiting for one in queues):
        return Finding(_("No worker is alive."), cure)
    return Finding(_("No worker is alive: %s.") % _waits(queues, now), cure)


def unattended(queues: Sequence[QueueFigures], now: datetime) -> Finding:
    """Say that no living worker takes these queues."""
    text = ngettext(
        "Nobody takes queue %(names)s: %(waits)s.",
        "Nobody takes the queues %(names)s: %(waits)s.",
        len(queues),
    )
    options = " ".join(f"--queue {shlex.quote(_shown(one.name))}" for one in queues[:NAMED])
    return Finding(_of(text, queues, now), _("Start `manage.py worker %s`.") % options)


def late(queues: Sequence[QueueFigures], now: datetime) -> Finding:
    """Say that calls have waited in these queues for too long."""
    text = ngettext(
        "Queue %(names)s is late: %(waits)s.",
        "The queues %(names)s are late: %(waits)s.",
        len(queues),
    )
    return Finding(_of(text, queues, now), _("Start more workers, or more `--processes`."))


def paused(queues: Sequence[QueueFigures], now: datetime) -> Finding:
    """Say that calls wait in these queues, which are paused."""
    text = ngettext(
        "Queue %(names)s is paused: %(waits)s.",
        "The queues %(names)s are paused: %(waits)s.",
        len(queues),
    )
    return Finding(_of(text, queues, now), _("Resume it when its calls may run again."))


def broken(names: Sequence[str]) -> Finding:
    """Say that the calls of these schedules cannot be queued."""
    text = ngettext(
        "The calls of schedule %s cannot be queued.",
        "The calls of the schedules %s cannot be queued.",
        len(names),
    )
    return Finding(text % _names(names), _("The page of the schedule says why."))


def gone(labels: Sequence[str]) -> Finding:
    """Say that these workers were lost."""
    text = ngettext(
        "Worker %s was lost in the last hour.",
        "The workers %s were lost in the last hour.",
        len(labels),
    )
    cure = _("The others take over what it ran. Look for its end in the system's log.")
    return Finding(text % _names(labels), cure)


def failed(count: int) -> Finding:
    """Say how many calls failed for good in the last hour."""
    text = ngettext(
        "%d call failed for good in the last hour.",
        "%d calls failed for good in the last hour.",
        count,
    )
    return Finding(text % count, _("`manage.py tasks --failed` says why."))


def held(count: int) -> Finding:
    """Say how many calls are held."""
    text = ngettext(
        "%d interrupted call waits for a person to decide.",
        "%d interrupted calls wait for a person to decide.",
        count,
    )
    return Finding(text % count, _("Queue it again, or delete its row."))


def well(workers: int) -> Finding:
    """Say that so many workers live and nothing is wrong."""
    text = ngettext(
        "All well: %d worker, nothing late, no failures in the last hour.",
        "All well: %d workers, nothing late, no failures in the last hour.",
        workers,
    )
    return Finding(text % workers)


def _of(text: str, queues: Sequence[QueueFigures], now: datetime) -> str:
    names = _names([one.name for one in queues])
    return text % {"names": names, "waits": _waits(queues, now)}


def _waits(queues: Sequence[QueueFigures], now: datetime) -> str:
    found = [one for one in queues if one.waiting]
    count = sum(one.waiting for one in found)
    more = "+" if any(one.more for one in found) else ""
    oldest = max((waited(one, now) for one in found), default=timedelta(0))
    text = ngettext("%(count)s waits, for %(oldest)s", "%(count)s wait, oldest %(oldest)s", count)
    return text % {"count": f"{count}{more}", "oldest": span(oldest, 1)}


def waited(queue: QueueFigures, now: datetime) -> timedelta:
    """Return for how long the oldest call of a queue has waited."""
    if queue.oldest is None:
        return timedelta(0)
    return max(aware(now) - aware(queue.oldest), timedelta(0))


def _names(names: Sequence[str]) -> str:
    more = " …" if len(names) > NAMED else ""
    return ", ".join(f'"{_shown(name)}"' for name in names[:NAMED]) + more


def _shown(name: str) -> str:
    name = printable(name)
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
