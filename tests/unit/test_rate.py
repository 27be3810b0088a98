import random
from datetime import timedelta
from unittest import TestCase

from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.rate import Rate, room
from tests.support import NOW, isolate_registries, make_task


def steps_of_chance(seed):
    chance = random.Random(seed)
    while True:
        yield timedelta(seconds=chance.uniform(0, 0.2))


class ParseTests(TestCase):
    def test_a_rate_is_a_count_and_a_unit(self):
        self.assertEqual(Rate.parse("10/m"), Rate(10, timedelta(minutes=1)))
        self.assertEqual(Rate.parse("1/s").period, timedelta(seconds=1))
        self.assertEqual(Rate.parse("500/h").period, timedelta(hours=1))
        self.assertEqual(Rate.parse("7/d").period, timedelta(days=1))

    def test_anything_else_is_refused_with_the_form(self):
        for wrong in ("10", "10/w", "0/m", "-1/m", "1.5/s", "ten/m", "", 10, "10/m\n", "٣/m"):
            with self.subTest(wrong), self.assertRaisesRegex(ValueError, "COUNT/UNIT"):
                Rate.parse(wrong)

    def test_a_definition_with_a_wrong_limit_is_refused_at_import(self):
        isolate_registries(self)
        for options, cure in (
            ({"rate_limit": "10/fortnight"}, 'such as "10/m"'),
            ({"rate_limit": 10}, "COUNT/UNIT"),
            ({"max_running": 0}, "Use a whole number of 1 or more"),
            ({"max_running": "2"}, "whole number"),
            ({"max_running": True}, "whole number"),
        ):
            with self.subTest(options), self.assertRaisesRegex(InvalidDefinition, cure):
                make_task("t", **options)


class RateTests(TestCase):
    def starts(self, rate, duration, steps):
        """Return when calls start that wait without end, claimed after each of `steps`."""
        now, end, used_until, starts = NOW, NOW + duration, None, []
        while now < end:
            count = rate.room(used_until, now)
            if count:
                used_until = rate.use(used_until, now, count)
                starts += [now] * count
            now += next(steps)
        return starts

    def most_in_a_window(self, starts, period):
        return max(
            sum(first <= start < first + period for start in starts[index:])
            for index, first in enumerate(starts)
        )

    def test_no_window_sees_more_starts_than_the_rate_allows(self):
        for text in ("1/s", "3/s", "7/s", "10/s", "20/s", "30/s", "200/s", "10/m", "61/m"):
            with self.subTest(text):
                rate = Rate.parse(text)
                starts = self.starts(rate, 2.5 * rate.period, steps_of_chance(text))

                self.assertLessEqual(self.most_in_a_window(starts, rate.period), rate.count)

    def test_it_is_nearly_used_up_by_those_who_claim_often(self):
        for text in ("1/s", "10/s", "100/s", "1000/s", "10/m"):
            with self.subTest(text):
                rate = Rate.parse(text)
                starts = self.starts(
                    rate, 3 * rate.period, iter(lambda: timedelta(seconds=0.004), None)
                )

                self.assertGreater(len(starts), 3 * rate.count * 0.9)

    def test_time_in_which_nothing_waited_is_not_saved_up(self):
        rate = Rate.parse("10/m")
        used_until = rate.use(None, NOW, 1)

        self.assertEqual(rate.room(used_until, NOW + timedelta(days=1)), 1)

    def test_it_says_when_the_next_may_start(self):
        rate = Rate.parse("10/m")
        used_until = rate.use(None, NOW, 1)
        opens = rate.opens(used_until)

        self.assertEqual(opens, NOW + timedelta(seconds=6))
        self.assertEqual(rate.room(used_until, opens - timedelta(microseconds=1)), 0)
        self.assertEqual(rate.room(used_until, opens), 1)


class RoomTests(TestCase):
    def test_both_limits_hold(self):
        rate = Rate.parse("1000/s")
        self.assertIsNone(room(None, None, running=9, used_until=None, now=NOW))
        self.assertEqual(room(3, None, running=1, used_until=None, now=NOW), 2)
        self.assertEqual(room(3, rate, running=1, used_until=None, now=NOW), 2)
        self.assertEqual(room(100, rate, running=99, used_until=None, now=NOW), 1)
        self.assertEqual(room(3, None, running=5, used_until=None, now=NOW), 0)
