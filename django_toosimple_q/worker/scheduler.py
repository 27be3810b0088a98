"""Turn cron occurrences that are due into queued calls."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import DatabaseError

from django_toosimple_q import signals
from django_toosimple_q.exceptions import said
from django_toosimple_q.moments import AHEAD
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule, first
from django_toosimple_q.store import schedule_execs
from django_toosimple_q.store.schedule_execs import DueSchedule
from django_toosimple_q.store.transaction import is_locked, is_lost, passing_over_locks
from django_toosimple_q.text import clean

# A schedule that cannot be queued is tried again after a second, then ever later; so are all, if
# a lock keeps them out.
SHORTEST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE, LONGEST_PAUSE_OF_ALL = timedelta(minutes=5), timedelta(seconds=30)
# The calls that one transaction queues. Claims come between two of them, so an urgent call does not
# wait until thousands of schedules are through, nor until a year missed by the second is.
BATCH = 50
REREAD_SECONDS = 60
# When to try again a row that another session has locked: most often another worker, which is about
# to advance it.
LOCKED_SECONDS = 1
# When to try again one whose unique call is locked, which takes two seconds to find out.
UNIQUE_SECONDS = 10
# When to look again whether a schedule that a person paused goes on.
PAUSED_SECONDS = 10
LOCKED_AT_MOST = 2


class Pause(NamedTuple):
    """Until when (aware) something is not tried again."""

    length: timedelta
    until: datetime

    @classmethod
    def after(cls, last: "Pause | None", longest: timedelta, now: datetime) -> "Pause":
        """Return the pause that follows `last`: twice as long, `longest` at most."""
        length = SHORTEST_PAUSE if last is None else min(2 * last.length, longest)
        return cls(length, now + length)


class Scheduler:
    """The schedules of one worker, and when each is due next, as far as it knows.

    What is in memory only says when to check; the row decides. It is read again every minute, and
    whenever another worker was quicker, or the clock went back.
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self.defined = {schedule.name: schedule for schedule in schedules}
        # Those that were edited are as they were before until they have caught up.
        self.schedules = dict(self.defined)
        self.last_due: dict[str, datetime | None] = {}
        self.next_due: dict[str, datetime] = {}
        self.read_again: datetime | None = None
        self.latest_now: datetime | None = None
        # Of all schedules, since a lock kept them out.
        self.pause: Pause | None = None
        # Schedules whose last batch left more to catch up with; the first waits the longest.
        self.behind: dict[str, None] = {}
        # Those that could not be queued: why, and the pause until they are tried again.
        self.broken: dict[str, tuple[str, Pause]] = {}

    def sync(self, now: datetime) -> None:
        """Create the rows of new schedules, and mark those that the code lost."""
        self._sync(now)
        self._read(now)

    def run_once(self, now: datetime) -> int:
        """Queue what is due, a batch at most; return the number of calls."""
        if self.latest_now is not None and now < self.latest_now - AHEAD:
            self._start_over(now)
        self.latest_now = now
        if not self.schedules or self._pauses(now):
            return 0
        if self.read_again is None or now >= self.read_again:
            self._read(now)
        due_schedules, more = self._batch(now)
        return (self._advance(due_schedules, more, now) or 0) if due_schedules else 0

    def earliest(self) -> datetime | None:
        """Return when the next schedule is due (aware), or None."""
        earliest = min(self.next_due.values(), default=None)
        if earliest is None or self.pause is None:
            return earliest
        return max(earliest, self.pause.until)

    def is_due(self, now: datetime) -> bool:
        """Return whether a batch has left some that are due."""
        earliest = self.earliest()
        return earliest is not None and earliest <= now and not self._pauses(now)

    def _break(self, schedule: Schedule, error: BaseException, now: datetime) -> None:
        """Mark a schedule that cannot be queued as broken, to be tried again later."""
        text, last = self.broken.get(schedule.name, ("", None))
        reason, pause = clean(said(error)), Pause.after(last, LONGEST_PAUSE, now)
        self.broken[schedule.name] = reason, pause
        self.next_due[schedule.name] = pause.until
        schedule_execs.mark_broken(schedule.name, reason, now)
        signals.schedule_broken.send_robust(
            sender=Schedule, schedule=schedule, error=reason, again=reason == text
        )

    def _batch(self, now: datetime) -> tuple[list[DueSchedule], set[str]]:
        """Return a batch of what is due, and the schedules of it that have more to catch up with.

        What is on time goes first; schedules that are behind take turns.
        """
        moment = now
        turns = {name: turn for turn, name in enumerate(self.behind, start=1)}
        due = [name for name, next_due in self.next_due.items() if next_due <= moment]
        due.sort(key=lambda name: turns.get(name, 0))
        due_schedules: list[DueSchedule] = []
        behind = set()
        room = BATCH
        for name in due[:BATCH]:
            schedule, last = self.schedules[name], self.last_due.get(name)
            try:
                missed = schedule.missed(last, moment)
                occurrences, more = first(missed, room)
                if not occurrences:
                    self._expect(schedule, last, now)
                    continue
            except Exception as error:
                self._break(schedule, error, now)
                continue
            due_schedules.append(DueSchedule(schedule, last, occurrences))
            if more:
                behind.add(name)
            room -= len(occurrences)
            if not room:
                break
        return due_schedules, behind

    def _advance(
        self, due_schedules: Sequence[DueSchedule], more: set[str], now: datetime
    ) -> int | None:
        """Advance a batch; return the number of calls, None when a lock kept it from a single one.

        `more` names the schedules that have more to catch up with.
        """
        try:
            advance = schedule_execs.advance(due_schedules, now)
        except (Exception, SystemExit) as error:  # user code: unique_by, and how arguments pickle
            locked = is_locked(error)
            if is_lost(error) and not locked:
                raise
            if len(due_schedules) > 1:
                # One of them cannot be queued: it must not hold up its neighbours.
                return self._advance_singly(due_schedules, more, now)
            schedule = due_schedules[0].schedule
            if locked:
                # Its unique call waits already, in a transaction that has not ended.
                self._postpone(schedule.name, now, UNIQUE_SECONDS)
                return None
            self._break(schedule, error, now)
            return 0
        self.pause = None
        for one in due_schedules:
            name = one.schedule.name
            if name in advance.queued:
                self.broken.pop(name, None)
                self._expect(one.schedule, one.occurrences[-1], now)
                self._report(one, name in more)
                if name not in more and one.schedule is not self.defined[name]:
                    self.read_again = None
            elif name in advance.paused:
                self._postpone(name, now, PAUSED_SECONDS)
            elif name in advance.moved:
                moved = self._set_back({name: advance.moved[name]}, now)
                self._expect(one.schedule, moved[name], now)
                if one.schedule is not self.defined[name]:
                    self.read_again = None
            else:
                self._postpone(name, now, LOCKED_SECONDS)
        return sum(map(len, advance.queued.values()))

    def _advance_singly(
        self, due_schedules: Sequence[DueSchedule], more: set[str], now: datetime
    ) -> int:
        """Advance one after the other, until too many have waited for a lock in vain."""
        count = locked = 0
        for one in due_schedules:
            queued = self._advance([one], more, now)
            count += queued or 0
            locked += queued is None
            if locked == LOCKED_AT_MOST:
                self._pause_all(now)
                break
        return count

    def _postpone(self, name: str, now: datetime, seconds: float) -> None:
        self.next_due[name] = now + timedelta(seconds=seconds)

    def _pause_all(self, now: datetime) -> None:
        """Leave all schedules alone for a while: a migration may have locked their table."""
        self.pause = Pause.after(self.pause, LONGEST_PAUSE_OF_ALL, now)

    def _start_over(self, now: datetime) -> None:
        """Forget moments that were computed before the clock went back."""
        self.last_due, self.next_due = {}, {}
        self.read_again = self.pause = None
        self.broken = {
            name: (text, pause._replace(until=now)) for name, (text, pause) in self.broken.items()
        }

    def _pauses(self, now: datetime) -> bool:
        return self.pause is not None and now < self.pause.until

    def _report(self, one: DueSchedule, more: bool) -> None:
        """Report what was queued, and how many occurrences a pause has skipped."""
        schedule, last = one.schedule, one.last_due
        since = last
        signals.schedule_advanced.send_robust(
            sender=Schedule,
            schedule=schedule,
            occurrences=one.occurrences,
            skipped=schedule.skipped(since, one.occurrences[0]),
            more=more,
            continued=schedule.name in self.behind,
        )
        self.behind.pop(schedule.name, None)
        if more:
            self.behind[schedule.name] = None

    def _read(self, now: datetime) -> None:
        try:
            self._adopt(now)
            rows = schedule_execs.read(list(self.schedules))
        except DatabaseError as error:
            if not is_locked(error):
                raise
            self._pause_all(now)
            return
        if self.schedules.keys() - rows.keys():
            # Rows were deleted: without its row a schedule would never run again.
            self._sync(now)
            rows = schedule_execs.read(list(self.schedules))
        moment = now
        for name, last in self._set_back(rows, now).items():
            if name in self.next_due and last == self.last_due.get(name):
                continue
            if name in self.next_due and self.next_due[name] <= moment:
                # The next batch works out when it is due: for thousands at once it takes long.
                self.last_due[name] = last
            else:
                self._expect_or_break(self.schedules[name], last, now)
        self.read_again = now + timedelta(seconds=REREAD_SECONDS)

    def _set_back(
        self, rows: Mapping[str, datetime | None], now: datetime
    ) -> dict[str, datetime | None]:
        """Return the last occurrences by name, those that lay ahead set back and reported."""
        ahead = [
            self.schedules[name]
            for name, last in rows.items()
            if last is not None and last > now + AHEAD and last != self.last_due.get(name)
        ]
        set_back: dict[str, datetime | None] = {}
        # What a lock keeps from it now is set back by the session that has it, or in a minute.
        with passing_over_locks():
            for one in schedule_execs.set_back(ahead, now) if ahead else ():
                signals.schedule_set_back.send_robust(
                    sender=Schedule, schedule=one.schedule, before=one.before, after=one.after
                )
                set_back[one.schedule.name] = one.after
        return {**rows, **set_back}

    def _adopt(self, now: datetime) -> None:
        """Follow edited expressions, but the former one in what is still to be caught up with."""
        behind, changes = schedule_execs.adopt(list(self.defined.values()), now)
        for change in changes:
            signals.schedule_changed.send_robust(
                sender=Schedule,
                schedule=change.schedule,
                former=change.former,
                since=change.since,
            )
        for name, schedule in {**self.defined, **behind}.items():
            if schedule is not self.schedules[name]:
                self.schedules[name] = schedule
                self.next_due.pop(name, None)

    def _sync(self, now: datetime) -> None:
        # What a lock keeps from its row now is made up for in a minute.
        with passing_over_locks():
            for name in schedule_execs.sync(
                list(self.defined.values()), list(schedules_registry), now
            ):
                signals.schedule_gone.send_robust(sender=Schedule, name=name)

    def _expect_or_break(self, schedule: Schedule, last: datetime | None, now: datetime) -> None:
        try:
            self._expect(schedule, last, now)
        except Exception as error:
            self._break(schedule, error, now)

    def _expect(self, schedule: Schedule, last: datetime | None, now: datetime) -> None:
        self.last_due[schedule.name] = last
        after = now if last is None else last
        upcoming = schedule.expression.next(after)
        if last is None and schedule.expression.latest(after) is not None:
            upcoming = after
        if upcoming is None:
            self.next_due.pop(schedule.name, None)
        else:
            # One that is broken is overdue, and still not tried at each look.
            broken = self.broken.get(schedule.name)
            self.next_due[schedule.name] = max(upcoming, broken[1].until) if broken else upcoming
