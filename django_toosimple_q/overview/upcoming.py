"""The next occurrences of each schedule, and those that should have been queued and were not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django_toosimple_q.models import ScheduleExec
from django_toosimple_q.moments import aware

# Of a schedule by the second no more are computed.
MOST = 60
# A worker has so long to queue an occurrence before it counts as missed.
PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True)
class Upcoming:
    """A schedule, its occurrences (aware) until a moment, and the one that it has missed."""

    row: ScheduleExec
    occurrences: Sequence[datetime]
    more: bool
    missed: datetime | None


def upcoming(rows: Sequence[ScheduleExec], now: datetime, until: datetime) -> list[Upcoming]:
    """Return what each schedule that the code defines does until then, the earliest first.

    Of a schedule without any such occurrence, there is an entry only if it missed one.
    """
    found = [_upcoming(row, aware(now), aware(until)) for row in rows if row.schedule is not None]
    shown = [one for one in found if one.occurrences or one.missed]
    return sorted(shown, key=lambda one: one.missed or one.occurrences[0])


def _upcoming(row: ScheduleExec, now: datetime, until: datetime) -> Upcoming:
    schedule = row.schedule
    assert schedule is not None
    if schedule.expression.manual or row.paused is not None:
        return Upcoming(row, [], False, None)
    occurrences: list[datetime] = []
    moment = schedule.expression.next(now)
    while moment is not None and moment <= until and len(occurrences) < MOST:
        occurrences.append(moment)
        moment = schedule.expression.next(moment)
    more = moment is not None and moment <= until
    return Upcoming(row, occurrences, more, missed(row, now))


def missed(row: ScheduleExec, now: datetime) -> datetime | None:
    """Return the latest occurrence (aware) that no worker has queued though it had the time."""
    if row.schedule is None or row.paused is not None or row.last_due is None:
        return None
    latest = row.schedule.expression.latest(aware(now) - PATIENCE)
    return latest if latest is not None and aware(row.last_due) < latest else None
