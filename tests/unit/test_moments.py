from datetime import UTC, date, datetime, timedelta, timezone
from unittest import TestCase
from zoneinfo import ZoneInfo, available_timezones

from django.test import SimpleTestCase

from django_toosimple_q.decorators import register_task
from django_toosimple_q.exceptions import InvalidDefinition, InvalidDue
from django_toosimple_q.moments import FIRST_YEAR, LAST_YEAR, check_moment, resolve_due
from tests.support import isolate_registries

FIRST = datetime(FIRST_YEAR, 1, 1)
LAST = datetime(LAST_YEAR, 12, 31, 23, 59, 59, 999999)


class MomentTests(TestCase):
    def test_what_some_database_cannot_keep_is_refused_with_the_cure(self):
        zones = [
            None,
            UTC,
            ZoneInfo("America/New_York"),
            timezone(timedelta(hours=-23, minutes=-59)),
        ]
        ends = (datetime.min, datetime.max, datetime(1000, 12, 31), datetime(9999, 1, 1))
        for moment in ends:
            for zone in zones:
                value = moment.replace(tzinfo=zone)
                with (
                    self.subTest(value=value),
                    self.assertRaisesRegex(
                        InvalidDue,
                        r"^it cannot be datetime.*Use a datetime of the years 1001 to 9998",
                    ),
                ):
                    check_moment(value, "it")

    def test_what_is_no_datetime_is_refused_with_its_type(self):
        for value in ("tomorrow", 5, date(2026, 1, 1), timedelta(1), None):
            with (
                self.subTest(value=value),
                self.assertRaisesRegex(InvalidDue, "it must be a datetime, got .*timezone.now"),
            ):
                check_moment(value, "it")

    def test_no_zone_brings_a_moment_that_is_taken_to_the_end_of_time(self):
        # As a session or a project may read it back: in any zone, whatever zone it was given in.
        furthest = [timezone(timedelta(hours=hours)) for hours in (-23, 23)]
        zones = [*map(ZoneInfo, sorted(available_timezones())), *furthest]
        for value in (FIRST, LAST):
            for given in furthest:
                moment = value.replace(tzinfo=given)
                check_moment(moment, "it")
                for zone in zones:
                    self.assertIn(moment.astimezone(zone).year, range(1000, 10_000))


class GateTests(SimpleTestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = register_task(name="t")(lambda: None)

    def test_a_due_date_is_refused_before_anything_is_stored(self):
        for moment in (datetime.max, datetime.min, datetime.max.replace(tzinfo=UTC)):
            with self.subTest(moment=moment):
                with self.assertRaisesRegex(InvalidDue, "due cannot be"):
                    self.task.queue(due=moment)
                with self.assertRaisesRegex(InvalidDue, "due cannot be"):
                    self.task.queue_many([()], due=moment)
                with self.assertRaisesRegex(InvalidDue, "due cannot be"):
                    self.task.using(due=moment)
                with self.assertRaisesRegex(InvalidDefinition, "expires cannot be"):
                    self.task.using(expires=moment)

    def test_using_refuses_what_is_no_moment(self):
        with self.assertRaisesRegex(InvalidDue, "due must be a datetime, got 'soon'"):
            self.task.using(due="soon")
        with self.assertRaisesRegex(InvalidDefinition, "expires cannot be 60. Use a timedelta"):
            self.task.using(expires=60)

    def test_the_first_and_the_last_moment_are_taken(self):
        for value in (FIRST, LAST):
            self.assertEqual(resolve_due(value.replace(tzinfo=UTC)), value.replace(tzinfo=UTC))
