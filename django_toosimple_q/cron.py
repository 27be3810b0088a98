"""When a cron expression is due: pure maths, no clock, no database.

At clock changes there are two kinds of expressions. The rule is that of Debian's cron(8) for vixie
cron, restricted to the hour field. An *interval* has an hour field that starts with `*` (or is
`H/n`). It follows elapsed time, so it runs on both passes of a repeated hour, and a missing hour
is not made up for. Any other expression is *fixed*: each wall time that it names runs once. If the
wall time repeats, it runs on the first pass. If it is missing, it runs at the first moment after
the gap, and several missing ones run once. In other words, a fixed occurrence is due at the first
moment at which the clock shows that wall time or a later one.

croniter parses the expressions and steps through wall times. It gets only naive datetimes, since
its own treatment of clock changes differs between its releases, and from this rule.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property

from croniter import CroniterBadDateError, croniter

from django_toosimple_q.exceptions import InvalidCron

MANUAL = "manual"
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FORM = (
    'Use "minute hour day month weekday", optionally with second and year, or one of '
    f'{", ".join(ALIASES)}, or "{MANUAL}" for a schedule that only runs by hand.'
)

MINUTE, HOUR, DAY, MONTH, WEEKDAY, SECOND, YEAR = range(7)
ONE_SECOND = timedelta(seconds=1)
ONE_DAY = timedelta(days=1)
# The year field begins with 1970. The rarest date is 29 February on a given weekday, which occurs
# every 40 years around 2100.
BEFORE_ALL_YEARS = datetime(1969, 12, 31, 23, 59, 59)
HORIZON_YEARS = 200


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone, made by `parse`. It is safe to share between threads.

        Cron.parse("30 8 * * mon-fri", ZoneInfo("Europe/Paris")).next(timezone.now())

    `timezone` must honour `fold` (PEP 495), as those of zoneinfo do. An `H` in the text is hashed
    from `hash_id`. Every occurrence is an aware datetime in UTC at a whole second.
    """

    text: str
    timezone: tzinfo
    hash_id: str = ""

    @classmethod
    def parse(cls, text: str, timezone: tzinfo, hash_id: str = "") -> "Cron":
        """Read an expression. Raises `InvalidCron` if it is invalid or can never be due."""
        if not isinstance(text, str):
            raise InvalidCron(f"a cron expression must be a str, got {text!r}. {FORM}")
        cron = cls(text.strip(), timezone, hash_id)
        if not cron.manual:
            cron._check_fields()
            cron._check_dates()
        return cron

    @property
    def manual(self) -> bool:
        """Return whether the expression is never due, so its schedule only runs by hand."""
        return self.text == MANUAL

    @property
    def interval(self) -> bool:
        """Return whether the expression follows elapsed time, not wall time, at clock changes."""
        return not self.manual and self.fields[HOUR].startswith(("*", "h/"))

    @property
    def suspicious(self) -> str | None:
        """Return a sentence if the expression is valid but probably a mistake, else None."""
        if self.manual or len(self.fields) <= SECOND:
            return None
        minute, second = (self._pattern.expanded[field] for field in (MINUTE, SECOND))
        if second != ["*"] or minute == ["*"]:
            return None
        return f"{self.text!r} fires every second of its minutes: the sixth field is the second."

    def next(self, after: datetime) -> datetime | None:
        """Return the first occurrence strictly after `after` (aware), in UTC.

        None when the expression is manual or names no later year. ValueError when naive.
        """
        moment = _whole_second(after)
        if self.manual:
            return None
        if self.interval:
            return self._next_interval(moment)
        due = self._wall_after(self._furthest_wall(moment))
        return None if due is None else self._reached(due)

    def latest(self, before: datetime) -> datetime | None:
        """Return the last occurrence at or before `before` (aware), in UTC.

        None when the expression is manual or names no earlier year. ValueError when naive.
        """
        moment = _whole_second(before)
        if self.manual:
            return None
        if self.interval:
            return self._latest_interval(moment)
        due = self._wall_until(self._furthest_wall(moment))
        return None if due is None else self._reached(due)

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the occurrences after `after`, up to and including `until` (both aware), in UTC.

        Oldest first, each computed when asked for. ValueError when naive.
        """
        last = _whole_second(until)
        occurrence = self.next(after)
        while occurrence is not None and occurrence <= last:
            yield occurrence
            occurrence = self.next(occurrence)

    # Intervals: between two clock changes, elapsed time and wall time advance together.

    def _next_interval(self, moment: datetime) -> datetime | None:
        wall = self._wall(moment)
        due = self._wall_after(wall)
        while due is not None:
            occurrence = moment + (due - wall)
            change = self._change(moment, occurrence)
            if change is None:
                return occurrence
            moment, wall = change, self._wall(change)
            due = self._wall_after(wall - ONE_SECOND)
        return None

    def _latest_interval(self, moment: datetime) -> datetime | None:
        wall = self._wall(moment)
        due = self._wall_until(wall)
        while due is not None:
            occurrence = moment - (wall - due)
            change = self._change(moment, occurrence)
            if change is None:
                return occurrence
            moment = change - ONE_SECOND
            wall = self._wall(moment)
            due = self._wall_until(wall)
        return None

    # Fixed: a clock that stopped instead of going back would show each wall time once.

    def _furthest_wall(self, moment: datetime) -> datetime:
        """Return the latest wall time that the clock has shown up to this moment."""
        local = moment.astimezone(self.timezone)
        if not local.fold:
            return local.replace(tzinfo=None)
        first_pass = local.replace(fold=0).astimezone(UTC)
        return self._wall(self._bisect(moment, first_pass) - ONE_SECOND)

    def _reached(self, wall: datetime) -> datetime:
        """Return the first moment at which the clock shows this wall time or a later one."""
        moment = wall.replace(tzinfo=self.timezone).astimezone(UTC)
        if self._wall(moment) == wall:
            return moment
        # In a gap, fold=0 uses the offset before the gap and lands after it; fold=1 lands before.
        ahead = wall.replace(tzinfo=self.timezone, fold=1).astimezone(UTC)
        return self._bisect(ahead, moment)

    # Clock changes

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.timezone).replace(tzinfo=None)

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self.timezone).utcoffset()

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first moment after the clock change nearest to `start` on the way to `end`."""
        offset = self._offset(start)
        # From 1970 on, no zone has changed its clocks twice within six days.
        step = ONE_DAY if start < end else -ONE_DAY
        while start != end:
            stop = start + step if abs(end - start) > ONE_DAY else end
            if self._offset(stop) != offset:
                return self._bisect(start, stop)
            start = stop
        return None

    def _bisect(self, start: datetime, end: datetime) -> datetime:
        """Return the first moment after the one clock change between two moments, in any order."""
        offset = self._offset(start)
        while abs(end - start) > ONE_SECOND:
            middle = start + timedelta(seconds=(end - start) // ONE_SECOND // 2)
            if self._offset(middle) == offset:
                start = middle
            else:
                end = middle
        return max(start, end)

    # The expression in wall time, the only time that croniter sees

    @cached_property
    def fields(self) -> list[str]:
        """Return the fields in lower case; of a word such as "@daily" those that it stands for."""
        text = self.text.lower()
        return ALIASES.get(text, text).split()

    @cached_property
    def _pattern(self) -> croniter:
        # croniter would hash "@daily" to another hour, so aliases are replaced before.
        return croniter(
            " ".join(self.fields),
            BEFORE_ALL_YEARS,
            hash_id=self.hash_id or None,
            max_years_between_matches=HORIZON_YEARS,
        )

    def _wall_after(self, wall: datetime) -> datetime | None:
        try:
            # croniter keeps a position, so each call uses its own copy.
            return copy(self._pattern).get_next(datetime, start_time=wall)
        except CroniterBadDateError:
            return None

    def _wall_until(self, wall: datetime) -> datetime | None:
        try:
            return copy(self._pattern).get_prev(datetime, start_time=wall + ONE_SECOND)
        except CroniterBadDateError:
            return None

    # What is refused

    def _has(self, letter: str) -> bool:
        # No name of a month or weekday starts with H or R.
        return any(field.startswith(letter) for field in self.fields)

    def _check_fields(self) -> None:
        count = len(self.fields)
        if not 5 <= count <= 7:
            raise InvalidCron(f"expected 5 to 7 fields, got {count} in {self.text!r}. {FORM}")
        if self._has("r"):
            raise InvalidCron(
                f"R is a different number in every process, in {self.text!r}. "
                "Use H, which is hashed from the schedule's name."
            )
        if self._has("h") and not self.hash_id:
            raise InvalidCron(
                f"H needs a name to hash, in {self.text!r}. Pass hash_id, or use a number."
            )
        try:
            _ = self._pattern
        except ValueError as error:
            raise InvalidCron(f"cannot read {self.text!r}: {error}. {FORM}") from error

    def _check_dates(self) -> None:
        days, weekdays = (self._pattern.expanded[field] for field in (DAY, WEEKDAY))
        special = self._pattern.nearest_weekday or self._pattern.nth_weekday_of_month
        # croniter reads both fields as day *or* weekday, but with W, # or L5 it ignores one.
        if special and "*" not in (days[0], weekdays[0]):
            raise InvalidCron(
                f"W, # and L5 cannot be combined with the other day field, in {self.text!r}. "
                "Put * there, or make two schedules."
            )
        if self._wall_after(BEFORE_ALL_YEARS) is None:
            raise InvalidCron(
                f"no year has a date that matches {self.text!r}. "
                "Correct its day, month or year, or remove the schedule."
            )


def _whole_second(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError(
            f"expected an aware datetime, got {moment!r}. Give it a tzinfo, as in timezone.now()."
        )
    return moment.astimezone(UTC).replace(microsecond=0)
