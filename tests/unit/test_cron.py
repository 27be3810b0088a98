import pickle
import sys
import threading
import unittest
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django_toosimple_q.cron import MANUAL, Cron
from django_toosimple_q.exceptions import InvalidCron

GOLDEN = Path(__file__).with_name("cron_golden.txt")
PARIS = ZoneInfo("Europe/Paris")
MORNING = datetime(2024, 7, 1, 6, 30, tzinfo=UTC)
YEAR = timedelta(days=365)


class GoldenCase(NamedTuple):
    text: str
    zone: str
    name: str
    after: datetime
    occurrences: list[datetime]
    ends: bool


def golden_cases() -> Iterator[GoldenCase]:
    """Read the golden file; its first lines describe the format."""
    for block in GOLDEN.read_text().split("\n\n")[1:]:
        header, *lines = block.strip().splitlines()
        text, zone, name, after = (part.strip() for part in header.split("|"))
        ends = lines[-1].strip() == "never again"
        occurrences = [
            datetime.fromisoformat(line.split()[0]) for line in lines[: -1 if ends else None]
        ]
        yield GoldenCase(text, zone, name, datetime.fromisoformat(after), occurrences, ends)


class OccurrenceTests(unittest.TestCase):
    def setUp(self):
        self.cron = Cron.parse("30 8 * * *", PARIS)

    def test_next_is_strictly_after(self):
        self.assertEqual(self.cron.next(MORNING), MORNING + timedelta(days=1))
        self.assertEqual(self.cron.next(MORNING - timedelta(microseconds=1)), MORNING)

    def test_latest_includes_the_moment_itself(self):
        self.assertEqual(self.cron.latest(MORNING), MORNING)
        self.assertEqual(
            self.cron.latest(MORNING - timedelta(microseconds=1)), MORNING - timedelta(days=1)
        )
        self.assertEqual(self.cron.latest(MORNING + timedelta(microseconds=1)), MORNING)

    def test_between_leaves_out_its_start_and_includes_its_end(self):
        end = MORNING + timedelta(days=2)

        self.assertEqual(list(self.cron.between(MORNING, end)), [MORNING + timedelta(days=1), end])

    def test_occurrences_are_in_utc_whatever_the_zone_of_the_question(self):
        asked_in_nepal = MORNING.astimezone(ZoneInfo("Asia/Kathmandu"))

        for occurrence in (self.cron.latest(asked_in_nepal), self.cron.next(asked_in_nepal)):
            self.assertIs(occurrence.tzinfo, UTC)

    def test_any_tzinfo_will_do(self):
        cron = Cron.parse("0 0 * * *", timezone(timedelta(hours=-3)))

        self.assertEqual(cron.next(MORNING), datetime(2024, 7, 2, 3, tzinfo=UTC))

    def test_seconds_are_the_sixth_field(self):
        cron = Cron.parse("* * * * * */15", PARIS)

        quarters = list(cron.between(MORNING, MORNING + timedelta(minutes=1)))

        self.assertEqual([moment.second for moment in quarters], [15, 30, 45, 0])

    def test_microseconds_neither_hide_nor_repeat_an_occurrence(self):
        cron = Cron.parse("* * * * * *", PARIS)
        late = MORNING + timedelta(microseconds=999_999)

        self.assertEqual(cron.latest(late), MORNING)
        self.assertEqual(cron.next(late), MORNING + timedelta(seconds=1))

    def test_naive_datetimes_are_refused(self):
        naive = MORNING.replace(tzinfo=None)

        for ask in (
            lambda: self.cron.next(naive),
            lambda: self.cron.latest(naive),
            lambda: next(self.cron.between(naive, MORNING)),
            lambda: next(self.cron.between(MORNING, naive)),
            lambda: Cron.parse(MANUAL, PARIS).next(naive),
        ):
            with self.assertRaisesRegex(ValueError, "expected an aware datetime"):
                ask()

    def test_catching_up_a_year_by_the_second_costs_only_what_is_taken(self):
        cron = Cron.parse("* * * * * *", PARIS)

        first = list(islice(cron.between(MORNING - YEAR, MORNING), 100))

        self.assertEqual(first[-1], MORNING - YEAR + timedelta(seconds=100))

    def test_a_manual_expression_is_never_due(self):
        cron = Cron.parse(" manual ", PARIS)

        self.assertTrue(cron.manual)
        self.assertFalse(cron.interval)
        self.assertIsNone(cron.next(MORNING))
        self.assertIsNone(cron.latest(MORNING))
        self.assertEqual(list(cron.between(MORNING - YEAR, MORNING)), [])

    def test_years_limit_it_on_both_sides(self):
        cron = Cron.parse("0 0 1 1 * 0 2030,2095", PARIS)
        first, last = datetime(2029, 12, 31, 23, tzinfo=UTC), datetime(2094, 12, 31, 23, tzinfo=UTC)

        self.assertEqual(list(cron.between(MORNING, last + YEAR)), [first, last])
        self.assertIsNone(cron.latest(first - timedelta(seconds=1)))
        self.assertIsNone(cron.next(last))

    def test_threads_share_one_without_disturbing_each_other(self):
        cron, wrong = Cron.parse("*/5 * * * *", PARIS), []

        def walk(start):
            for moment in islice(cron.between(start, start + YEAR), 200):
                start += timedelta(minutes=5)
                if moment != start:
                    wrong.append(moment)

        threads = [
            threading.Thread(target=walk, args=[datetime(2024, month, 5, tzinfo=UTC)])
            for month in range(1, 9)
        ]
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(wrong, [])

    def test_it_compares_hashes_and_pickles_by_what_was_written(self):
        again = Cron.parse(" 30 8 * * * ", PARIS)

        self.assertEqual({self.cron, again}, {pickle.loads(pickle.dumps(again))})
        self.assertNotEqual(self.cron, Cron.parse("30 8 * * *", UTC))


class ClockChangeTests(unittest.TestCase):
    """The rule by example, in Paris: no 02:00 to 03:00 on 31 March, two on 27 October 2024."""

    def walls(self, text, day):
        start = datetime.combine(day, datetime.min.time(), tzinfo=PARIS)
        occurrences = Cron.parse(text, PARIS).between(
            start - timedelta(seconds=1), start + timedelta(hours=5)
        )
        return [moment.astimezone(PARIS).strftime("%H:%M%z")[:-2] for moment in occurrences]

    def spring(self, text):
        return self.walls(text, date(2024, 3, 31))

    def autumn(self, text):
        return self.walls(text, date(2024, 10, 27))

    def test_a_fixed_time_that_is_missing_runs_at_the_first_moment_after_the_gap(self):
        self.assertEqual(self.spring("30 2 * * *"), ["03:00+02"])

    def test_fixed_times_that_fall_together_run_once(self):
        self.assertEqual(self.spring("0,30 2,3 * * *"), ["03:00+02", "03:30+02"])
        self.assertEqual(self.spring("* 2 * * * *"), ["03:00+02"])

    def test_a_fixed_time_that_repeats_runs_on_its_first_pass(self):
        self.assertEqual(self.autumn("30 2 * * *"), ["02:30+02"])
        self.assertEqual(self.autumn("*/30 1-3 * * *")[2:5], ["02:00+02", "02:30+02", "03:00+01"])

    def test_an_interval_makes_nothing_up_for_the_gap(self):
        self.assertEqual(self.spring("30 */2 * * *"), ["00:30+01", "04:30+02"])

    def test_an_interval_runs_on_both_passes(self):
        self.assertEqual(
            self.autumn("30 */2 * * *"), ["00:30+02", "02:30+02", "02:30+01", "04:30+01"]
        )

    def test_a_start_in_the_second_pass_looks_forward_only(self):
        second_pass = datetime(2024, 10, 27, 2, 15, tzinfo=PARIS, fold=1)
        fixed, interval = Cron.parse("30 2 * * *", PARIS), Cron.parse("30 * * * *", PARIS)

        self.assertEqual(fixed.next(second_pass), datetime(2024, 10, 28, 1, 30, tzinfo=UTC))
        self.assertEqual(fixed.latest(second_pass), datetime(2024, 10, 27, 0, 30, tzinfo=UTC))
        self.assertEqual(interval.next(second_pass), datetime(2024, 10, 27, 1, 30, tzinfo=UTC))
        self.assertEqual(interval.latest(second_pass), datetime(2024, 10, 27, 0, 30, tzinfo=UTC))

    def test_the_hour_field_alone_decides_the_kind(self):
        for text in ("* * * * *", "30 */2 * * *", "0 H/3 * * *", "@hourly", "@Hourly"):
            with self.subTest(text):
                self.assertTrue(Cron.parse(text, PARIS, "name").interval)
        for text in ("* 2 * * *", "*/5 0-23 * * *", "0 H * * *", "0 H(0-9)/2 * * *", "@daily"):
            with self.subTest(text):
                self.assertFalse(Cron.parse(text, PARIS, "name").interval)


class RefusalTests(unittest.TestCase):
    def refused(self, text, message, hash_id=""):
        with self.subTest(text), self.assertRaisesRegex(InvalidCron, message) as caught:
            Cron.parse(text, PARIS, hash_id)
        if isinstance(text, str):
            self.assertIn(repr(text.strip()), str(caught.exception))

    def test_what_is_not_text(self):
        for text in (None, 5, b"* * * * *", timedelta(hours=1)):
            self.refused(text, "must be a str, got ")

    def test_a_wrong_number_of_fields(self):
        for text, count in {"": 0, "Manual": 1, "* * * *": 4, "* * * * * * * *": 8}.items():
            self.refused(text, f"expected 5 to 7 fields, got {count} ")
        self.refused("@reboot", '"@hourly|@hourly')

    def test_what_croniter_cannot_read(self):
        for text in (
            "61 * * * *",
            "0 24 * * *",
            "0 0 * * 5L",
            "0 0 LW * *",
            "*/0 * * * *",
            "0 0 12 * * ?",
            "every five minutes or so",
            "0 0 1 1 * 0 2100",
        ):
            self.refused(text, "cannot read ")

    def test_dates_that_no_year_has(self):
        for text in (
            "0 0 30 2 *",
            "0 0 31 4,6,9,11 *",
            "0 0 29 2 * 0 2023",
            "0 0 28 2 */8#5",
            "0 0 * 2 1#5 0 2023",
        ):
            self.refused(text, "no year has a date|cannot read")

    def test_rare_dates_and_past_years_are_fine(self):
        for text in ("0 0 29 2 *", "0 0 31 2 1", "0 0 * 2 1#5", "0 0 1 1 * 0 1970"):
            with self.subTest(text):
                Cron.parse(text, PARIS)

    def test_random_fields(self):
        for text in ("R * * * *", "0 r(0-5) * * *", "0 R/6 * * *"):
            self.refused(text, "R is a different number in every process", "name")

    def test_hashed_fields_without_a_name(self):
        for text in ("H * * * *", "0 h/6 * * *"):
            self.refused(text, "H needs a name")

    def test_day_fields_of_which_one_would_be_ignored(self):
        for text in ("0 0 15W * 3", "0 0 1 * 1#1", "0 0 1 * L5"):
            self.refused(text, "cannot be combined")


class HashTests(unittest.TestCase):
    def test_a_name_spreads_only_what_says_h(self):
        midnight = Cron.parse("@daily", UTC, "report").next(MORNING)
        spread = {Cron.parse("H H * * *", UTC, name).next(MORNING) for name in "abcdefgh"}

        self.assertEqual(midnight, datetime(2024, 7, 2, tzinfo=UTC))
        self.assertGreater(len(spread), 4)

    def test_names_of_months_and_days_are_no_hashes(self):
        cron = Cron.parse("0 0 * MAR THU", UTC)

        self.assertEqual(cron.next(MORNING), datetime(2025, 3, 6, tzinfo=UTC))


class SuspicionTests(unittest.TestCase):
    def test_every_second_of_some_minutes_is_probably_a_mistake(self):
        for text in ("*/15 * * * * *", "0 */5 * * * *", "0 0 1 1 * 0-59", "5 * * * * * 2030"):
            with self.subTest(text):
                self.assertIn(repr(text), Cron.parse(text, PARIS).suspicious)

    def test_plain_expressions_are_not(self):
        for text in (MANUAL, "@hourly", "*/15 * * * *", "* * * * * *", "*/15 * * * * 0"):
            with self.subTest(text):
                self.assertIsNone(Cron.parse(text, PARIS).suspicious)


class GoldenFileTests(unittest.TestCase):
    """A croniter that changes its mind shows here first."""

    def test_next_walks_through_the_golden_file(self):
        for case in golden_cases():
            with self.subTest(cron=case.text, zone=case.zone, after=case.after):
                cron, moment = Cron.parse(case.text, ZoneInfo(case.zone), case.name), case.after
                for occurrence in case.occurrences:
                    moment = cron.next(moment)
                    self.assertEqual(moment, occurrence)
                if case.ends:
                    self.assertIsNone(cron.next(moment))

    def test_latest_walks_back_through_it(self):
        for case in golden_cases():
            with self.subTest(cron=case.text, zone=case.zone, after=case.after):
                cron = Cron.parse(case.text, ZoneInfo(case.zone), case.name)
                for occurrence in reversed(case.occurrences):
                    moment = cron.latest(occurrence)
                    self.assertEqual(moment, occurrence)
                    self.assertEqual(cron.next(moment - timedelta(seconds=1)), occurrence)
