"""Cron in every time zone, against an oracle that knows nothing of croniter, fold or gaps.

The oracle lets a clock run: minute by minute (second by second where seconds matter) it looks at
the wall and compares fields. An interval is due whenever the wall matches; a fixed expression is
due whenever the furthest wall time shown so far moves on to, or past, one that matches.

Covered: each distinct kind of clock change (offsets before and after, time of day) that any zone
of the machine's zoneinfo made from 1970 to 2037, plus the last change forward and the last change
back of every zone; expressions around the start, middle and end of the missing or repeated stretch,
plain, stepped and dated, and by the second for each twelfth kind; starts at both edges of the
stretch, within it and in its second pass. Not seen: changes undone within four weeks. Zones without
changes share one path, so a random zone at a random moment must do for them. The
golden file is held against the same oracle, calendar fields (L, W, #, H, years) included.
"""

import calendar
import math
import unittest
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_toosimple_q.cron import Cron
from django_toosimple_q.exceptions import InvalidCron
from tests.unit.test_cron import golden_cases

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
LONGEST_REPEAT = 7 * HOUR
MONTHS = [name.lower() for name in calendar.month_abbr]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59), (1970, 2999)]
Ticks = list[tuple[datetime, datetime]]


# The oracle


class Oracle:
    """What an expression says about a wall time, read by hand."""

    def __init__(self, text: str, name: str = "") -> None:
        fields = {"@daily": "0 0 * * *", "@hourly": "0 * * * *"}.get(text, text).lower().split()
        self.interval = fields[1][0] == "*" or fields[1][:2] == "h/"
        fields += ["0", "*"][len(fields) - 5 :]
        self.day_text, self.weekday_text = fields[2], fields[4]
        sets = [self._values(index, text, name) for index, text in enumerate(fields)]
        (
            self.minutes,
            self.hours,
            self.days,
            self.months,
            self.weekdays,
            self.seconds,
            self.years,
        ) = sets
        self.has_date = cache(self._has_date)

    def matches(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.second in self.seconds
            and self.has_date(wall.date())
        )

    @property
    def step(self) -> timedelta:
        return MINUTE if self.seconds == {0} else SECOND

    def occurrences(self, ticks: Ticks, after: datetime, until: datetime) -> list[datetime]:
        """Return those of (after, until]; no wall before the first tick may lie further."""
        due, furthest, step = [], ticks[0][1], ticks[1][0] - ticks[0][0]
        for moment, wall in ticks:
            if moment > until:
                break
            if self.interval:
                fires = self.matches(wall)
            else:
                fires = False
                while furthest < wall:
                    furthest += step
                    fires = self.matches(furthest) or fires
            if fires and moment > after:
                due.append(moment)
        return due

    def _has_date(self, day: date) -> bool:
        if day.month not in self.months or day.year not in self.years:
            return False
        by_day, by_weekday = self._by_day(day), self._by_weekday(day)
        if self.day_text in "*?" or self.weekday_text in "*?":
            return by_day and by_weekday
        return by_day or by_weekday

    def _by_day(self, day: date) -> bool:
        last = calendar.monthrange(day.year, day.month)[1]
        if self.day_text.endswith("w"):
            wanted = day.replace(day=min(int(self.day_text[:-1]), last))
            near = [wanted + shift * DAY for shift in (0, -1, 1, -2, 2)]
            weekdays = [d for d in near if d.month == wanted.month and d.isoweekday() <= 5]
            return day == weekdays[0]
        return day.day in self.days or ("l" in self.day_text.split(",") and day.day == last)

    def _by_weekday(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if "#" in self.weekday_text:
            pairs = [part.split("#") for part in self.weekday_text.split(",")]
            return [str(weekday), str((day.day + 6) // 7)] in pairs
        if self.weekday_text[0] == "l":
            return str(weekday) == self.weekday_text[1:] and (day + 7 * DAY).month != day.month
        return weekday in self.weekdays

    def _values(self, index: int, text: str, name: str) -> set[int]:
        if text[0] == "l" or text[-1] == "w" or "#" in text:
            return set()
        values: set[int] = set()
        for part in text.split(","):
            values |= set() if part == "l" else self._part(index, part, name)
        return values

    def _part(self, index: int, text: str, name: str) -> set[int]:
        low, high = RANGES[index]
        body, _, every = text.partition("/")
        step = int(every or 1)
        if body in "*?":
            return set(range(low, high + 1, step))
        if body == "h":
            span = step if every else high - low + 1
            first = low + (zlib.crc32(name.encode()) >> index) % span
            return set(range(first, high + 1, step)) if every else {first}
        first, _, last = (self._number(index, word) for word in body.partition("-"))
        if not every and "-" not in body:
            last = first
        elif "-" not in body:
            last = high
        if last < first:
            return set(range(first, high + 1)) | set(range(low, last + 1))
        return {value % 7 if index == 4 else value for value in range(first, last + 1, step)}

    @staticmethod
    def _number(index: int, word: str) -> int:
        names = {3: MONTHS, 4: WEEKDAYS}.get(index, [])
        return names.index(word) if word in names else int(word) if word.isdigit() else -1


def ticking(zone: ZoneInfo, start: datetime, end: datetime, step: timedelta) -> Ticks:
    """Return each step of a clock in this zone, as (UTC, wall)."""
    count = (end - start) // step
    moments = (start + index * step for index in range(count + 1))
    return [(moment, moment.astimezone(zone).replace(tzinfo=None)) for moment in moments]


# The clock changes of the machine's zones


class Change(NamedTuple):
    zone: ZoneInfo
    moment: datetime
    before: timedelta
    after: timedelta

    @property
    def kind(self) -> tuple[timedelta, timedelta, object]:
        return self.before, self.after, (self.moment + self.before).time()

    @property
    def size(self) -> timedelta:
        return abs(self.after - self.before)

    @property
    def step(self) -> timedelta:
        """The longest step on which every whole minute of both offsets falls."""
        return timedelta(seconds=math.gcd(60, self.before.seconds, self.after.seconds))

    @property
    def stretch(self) -> tuple[datetime, datetime]:
        """The wall times that are missing or repeated, as [low, high)."""
        walls = [self.moment.replace(tzinfo=None) + o for o in (self.before, self.after)]
        return min(walls), max(walls)

    def ticks(self, before: timedelta, after: timedelta, step: timedelta) -> Ticks:
        # No zone has changed twice within six days, so the furthest wall is the wall at the start.
        return ticking(self.zone, self.moment - before, self.moment + after, step)


def offset_at(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def changes_of(zone: ZoneInfo) -> Iterator[Change]:
    """Yield the changes, but for pairs that undo each other within four weeks."""
    moment, offset = FIRST, offset_at(zone, FIRST)
    while moment < LAST:
        later = moment + 28 * DAY
        new = offset_at(zone, later)
        if new != offset:
            low, high = moment, later
            while high - low > SECOND:
                middle = low + (high - low) // 2 // SECOND * SECOND
                low, high = (middle, high) if offset_at(zone, middle) == offset else (low, middle)
            yield Change(zone, high, offset, offset_at(zone, high))
            later, new = high, offset_at(zone, high)
        moment, offset = later, new


@cache
def all_changes() -> list[list[Change]]:
    """Return the changes of each zone that has any; of zones that are alike, the first's."""
    zones = {}
    for name in sorted(available_timezones()):
        changes = list(changes_of(ZoneInfo(name)))
        zones.setdefault(tuple(change[1:] for change in changes), changes)
    return [changes for changes in zones.values() if changes]


def one_of_each_kind() -> list[Change]:
    kinds = {change.kind: change for changes in all_changes() for change in changes}
    return list(kinds.values())


def last_of_each_zone() -> list[Change]:
    """Return the last change forward and the last change back of every zone."""
    return [
        change
        for changes in all_changes()
        for change in {change.after > change.before: change for change in changes}.values()
    ]


def fixed_expressions(change: Change) -> list[str]:
    low, high = change.stretch
    middle = (low + (high - low) / 2).replace(second=0)
    later = middle + HOUR
    return [
        f"{low:%-M} {low:%-H} * * *",
        f"{high - MINUTE:%-M %-H} * * *",
        f"{high:%-M} {high:%-H} * * *",
        f"*/20 {middle:%-H},{later:%-H} * * *",
        f"{middle:%-M} {middle:%-H} {middle:%-d} {middle:%-m} *",
        "@daily",
    ]


def interval_expressions(change: Change) -> list[str]:
    low, _ = change.stretch
    return ["*/15 * * * *", f"{low:%-M} * * * *", "30 */2 * * *", f"0 */6 * * {low:%w}"]


class TimeZoneTests(unittest.TestCase):
    def check(
        self, change: Change, text: str, ticks: Ticks, around: tuple[timedelta, timedelta]
    ) -> None:
        """Hold `between`, `next` and `latest` in this window against the oracle."""
        start, end = change.moment - around[0], change.moment + around[1]
        expected = Oracle(text).occurrences(ticks, start, end)
        cron = Cron.parse(text, change.zone)
        with self.subTest(zone=change.zone.key, moment=change.moment.isoformat(), cron=text):
            self.assertEqual(list(cron.between(start, end)), expected)
            for moment in self.starts(change, expected, start, end):
                later = expected[bisect_right(expected, moment) :]
                earlier = expected[: bisect_right(expected, moment)]
                if later:
                    self.assertEqual(cron.next(moment), later[0])
                if earlier:
                    self.assertEqual(cron.latest(moment), earlier[-1])

    @staticmethod
    def starts(
        change: Change, expected: list[datetime], start: datetime, end: datetime
    ) -> set[datetime]:
        """Return the moments on both sides of each edge, and of the occurrences near them."""
        edges = [change.moment, change.moment + change.size]
        near = bisect_left(expected, change.moment)
        edges += [change.moment + change.size / 2, *expected[max(near - 1, 0) : near + 1]]
        moments = {edge + shift for edge in edges for shift in (-SECOND, 0 * SECOND)}
        return {moment for moment in moments if start <= moment < end}

    def test_every_kind_of_clock_change_follows_the_rule(self) -> None:
        around, near = (2 * HOUR, 26 * HOUR), (2 * HOUR, 5 * HOUR)

        for change in one_of_each_kind():
            ticks = change.ticks(*around, change.step)
            for text in fixed_expressions(change):
                self.check(change, text, ticks, around)
            for text in interval_expressions(change):
                self.check(change, text, ticks, near)

    def test_seconds_follow_the_same_rule(self) -> None:
        around = (MINUTE, MINUTE)
        small = [change for change in one_of_each_kind() if change.size <= HOUR]

        for change in small[::12]:
            low, high = change.stretch
            ticks = change.ticks(*around, SECOND)
            for wall in (low, high - MINUTE, high):
                self.check(change, f"{wall:%-M} {wall:%-H} * * * */20", ticks, around)
            self.check(change, "* * * * * */20", ticks, around)

    def test_every_zone_follows_the_rule_at_its_last_changes(self) -> None:
        around = (HOUR, 4 * HOUR)

        for change in last_of_each_zone():
            ticks = change.ticks(*around, change.step)
            low, _ = change.stretch
            for text in (f"{low:%-M} {low:%-H} * * *", f"*/30 {low:%-H} * * *", "*/30 * * * *"):
                self.check(change, text, ticks, around)

    def test_jobs_by_the_minute_or_second_never_pause_longer_than_their_step(self) -> None:
        steps = {"* * * * *": MINUTE, "*/5 * * * *": 5 * MINUTE, "* * * * * *": SECOND}

        for change in last_of_each_zone():
            for text, step in steps.items():
                if change.size % step:
                    continue
                start, end = change.moment - 3 * step, change.moment + 3 * step
                runs = list(Cron.parse(text, change.zone).between(start, end))
                with self.subTest(zone=change.zone.key, moment=change.moment, cron=text):
                    self.assertEqual({later - run for run, later in pairwise(runs)}, {step})

    def test_fixed_jobs_run_once_for_each_date_that_they_name(self) -> None:
        for change in last_of_each_zone():
            low, high = change.stretch
            if low.date() < high.date():
                continue  # made up for at midnight, on the next date
            for wall in (low, high - MINUTE):
                cron = Cron.parse(f"{wall:%-M} {wall:%-H} * * *", change.zone)
                noon = wall.replace(hour=12, tzinfo=change.zone) - 3 * DAY
                runs = list(cron.between(noon, noon + 6 * DAY))
                dates = {run.astimezone(change.zone).date() for run in runs}
                with self.subTest(zone=change.zone.key, moment=change.moment, wall=wall):
                    self.assertEqual((len(runs), len(dates)), (6, 6))


minute = st.sampled_from(["*", "*/7", "*/20", "0", "59", "5-9", "0,30"])
hour = st.sampled_from(["*", "*/2", "*/5", "0", "2", "1-3", "23", "0,12"])
day = st.sampled_from(["*", "1", "29-31", "L", "*/9"])
expressions = st.tuples(
    minute, hour, day, st.sampled_from(["*", "2", "3,10"]), st.sampled_from(["*", "sun", "1-5"])
).map(" ".join)
zones = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2060, 1, 1), timezones=st.just(UTC))
deterministic = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


class RelationTests(unittest.TestCase):
    @settings(deterministic, max_examples=400)
    @given(expressions, zones, moments)
    def test_next_and_latest_are_each_other_s_way_back(self, text, zone, moment) -> None:
        cron = Cron.parse(text, zone)

        later, earlier = cron.next(moment), cron.latest(moment)

        self.assertGreater(later, moment)
        self.assertLessEqual(earlier, moment)
        self.assertEqual(cron.latest(later), later)
        self.assertEqual(cron.latest(earlier), earlier)
        self.assertEqual(cron.next(earlier), later)
        self.assertEqual(cron.latest(later - SECOND), earlier)

    @settings(deterministic, max_examples=100)
    @given(expressions, zones, moments)
    def test_between_is_next_again_and_again(self, text, zone, moment) -> None:
        cron = Cron.parse(text, zone)
        repeated = [moment]
        for _ in range(5):
            repeated.append(cron.next(repeated[-1]))

        self.assertEqual(list(cron.between(moment, repeated[-1])), repeated[1:])
        self.assertEqual(repeated, sorted(set(repeated)))

    @settings(deterministic, max_examples=60)
    @given(expressions, zones, moments)
    def test_a_random_day_agrees_with_the_oracle(self, text, zone, moment) -> None:
        start = moment.replace(second=0, microsecond=0)
        step = timedelta(seconds=math.gcd(60, offset_at(zone, start).seconds))
        ticks = ticking(zone, start - LONGEST_REPEAT, start + DAY, step)

        occurrences = list(Cron.parse(text, zone).between(start, start + DAY))

        self.assertEqual(occurrences, Oracle(text).occurrences(ticks, start, start + DAY))

    @settings(deterministic, max_examples=400)
    @given(st.text("*/-,#0123456789LWHR?@ \xa0adehilmnorstuvy٣", max_size=25))
    def test_any_text_is_read_or_refused(self, text) -> None:
        try:
            cron = Cron.parse(text, UTC, "name")
        except InvalidCron as error:
            self.assertIn(". ", str(error))
        else:
            self.assertEqual(cron.next(FIRST) is None, cron.manual)


class GoldenFileTests(unittest.TestCase):
    def test_the_golden_file_is_what_the_oracle_says(self) -> None:
        for case in golden_cases():
            zone, expression = ZoneInfo(case.zone), Oracle(case.text, case.name)
            end = (case.occurrences or [LAST + 99 * 365 * DAY])[-1]
            with self.subTest(cron=case.text, zone=case.zone):
                self.assertEqual(self.told(expression, zone, case.after, end), case.occurrences)

    @staticmethod
    def told(expression: Oracle, zone: ZoneInfo, after: datetime, end: datetime) -> list[datetime]:
        """Let the clock run only on days of which the calendar says that they matter."""
        due, seconds = [], int(expression.step.total_seconds())
        step = timedelta(seconds=math.gcd(seconds, offset_at(zone, after).seconds))
        while after < end:
            until = min(after + DAY, end)
            days = (after.date() + shift * DAY for shift in range(-1, 3))
            if any(map(expression.has_date, days)):
                ticks = ticking(zone, after - LONGEST_REPEAT, until, step)
                due += expression.occurrences(ticks, after, until)
            after = until
        return due
