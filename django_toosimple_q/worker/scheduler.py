"""Turn cron occurrences that are due into queued calls."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from django_toosimple_q import signals
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule, first
from django_toosimple_q.store import schedule_execs
from django_toosimple_q.task import stored_datetime

# A year missed by the second comes in batches, so that other work keeps its turn.
BATCH = 100
REREAD_SECONDS = 60


class Scheduler:
    """The schedules of one worker, and when each is due next, as far as it knows.

    What is in memory only tells when to look; the row decides. It is read again every minute, and
    whenever another worker was quicker.
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self.schedules = {schedule.name: schedule for schedule in schedules}
        self.last_due: dict[str, datetime | None] = {}
        self.next_due: dict[str, datetime] = {}
        self.read_again: datetime | None = None
        # Those whose last batch left more to catch up with.
        self.behind: set[str] = set()

    def sync(self, now: datetime) -> None:
        """Make the rows of new schedules, mark those that are gone from the code."""
        self._sync(now)
        self._read(now)

    def run_once(self, now: datetime) -> int:
        """Queue what is due, a batch of each schedule at most; return the number of calls."""
        if not self.schedules:
            return 0
        if self.read_again is None or now >= self.read_again:
            self._read(now)
        due = [name for name, moment in self.next_due.items() if moment <= aware(now)]
        return sum(self._advance(self.schedules[name], now) for name in due)

    def earliest(self) -> datetime | None:
        """Return when the next schedule is due (aware), or None."""
        return min(self.next_due.values(), default=None)

    def _advance(self, schedule: Schedule, now: datetime) -> int:
        last = self.last_due.get(schedule.name)
        missed = schedule.missed(None if last is None else aware(last), aware(now))
        occurrences, more = first(missed, BATCH)
        if not occurrences:
            self._expect(schedule, last, now)
            return 0
        task_execs = schedule_execs.advance(schedule, last, occurrences, now)
        if task_execs is None:
            self._read(now)
            return 0
        newest = stored_datetime(occurrences[-1])
        self._expect(schedule, newest, now)
        self._tell(schedule, last, occurrences, more)
        return len(task_execs)

    def _tell(
        self, schedule: Schedule, last: datetime | None, occurrences: list[datetime], more: bool
    ) -> None:
        """Tell what was queued, and what was not because a pause has cost it."""
        since = None if last is None else aware(last)
        signals.schedule_advanced.send_robust(
            sender=Schedule,
            schedule=schedule,
            occurrences=occurrences,
            skipped=schedule.skipped(since, occurrences[0]),
            more=more,
            continued=schedule.name in self.behind,
        )
        if more:
            self.behind.add(schedule.name)
        else:
            self.behind.discard(schedule.name)

    def _read(self, now: datetime) -> None:
        rows = schedule_execs.read(list(self.schedules))
        if self.schedules.keys() - rows.keys():
            # Somebody has deleted rows: without one its schedule would be silent for ever.
            self._sync(now)
            rows = schedule_execs.read(list(self.schedules))
        self.next_due.clear()
        for name, schedule in self.schedules.items():
            row = rows.get(name)
            if row is not None:
                self._expect(schedule, row.last_due, now)
        self.read_again = now + timedelta(seconds=REREAD_SECONDS)

    def _sync(self, now: datetime) -> None:
        for name in schedule_execs.sync(
            list(self.schedules.values()), list(schedules_registry), now
        ):
            signals.schedule_gone.send_robust(sender=Schedule, name=name)

    def _expect(self, schedule: Schedule, last: datetime | None, now: datetime) -> None:
        self.last_due[schedule.name] = last
        after = aware(now) if last is None else aware(last)
        following = schedule.expression.next(after)
        if last is None and schedule.expression.latest(after) is not None:
            following = after
        if following is None:
            self.next_due.pop(schedule.name, None)
        else:
            self.next_due[schedule.name] = following


def aware(moment: datetime) -> datetime:
    """Return a datetime of the database or the clock as an aware one."""
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment.astimezone(UTC)
