from datetime import timedelta
from decimal import Decimal
from unittest import TestCase

from django_toosimple_q.exceptions import InvalidRetry, Retry, shown
from django_toosimple_q.retry import LONGEST_DELAY_SECONDS


class RetryTests(TestCase):
    def test_a_delay_is_seconds_or_a_timedelta(self):
        self.assertIsNone(Retry("x").delay_seconds)
        self.assertEqual(Retry("x", delay=0).delay_seconds, 0)
        self.assertEqual(Retry("x", delay=1.5).delay_seconds, 1.5)
        self.assertEqual(Retry("x", delay=timedelta(minutes=1)).delay_seconds, 60)
        longest = Retry("x", delay=timedelta(days=365)).delay_seconds
        self.assertEqual(longest, LONGEST_DELAY_SECONDS)

    def test_a_delay_that_cannot_be_right_is_refused_where_it_is_given(self):
        wrong = [float("inf"), float("nan"), -float("inf"), 1e12, 10**9999, -1, "soon", "5", True]
        wrong += [timedelta(-1), timedelta.max, Decimal(5), [5]]
        for delay in wrong:
            with (
                self.subTest(delay=delay),
                self.assertRaisesRegex(
                    InvalidRetry, "delay of a Retry cannot be .*from 0 to 31536000"
                ),
            ):
                Retry("x", delay=delay)

    def test_count_is_true_or_false(self):
        self.assertIs(Retry("x", count=False).count, False)
        for count in ("x", 0, None):
            with (
                self.subTest(count=count),
                self.assertRaisesRegex(InvalidRetry, "count of a Retry cannot be .*True or False"),
            ):
                Retry("x", count=count)

    def test_a_delay_in_the_place_of_the_message_is_refused_with_the_cure(self):
        with self.assertRaisesRegex(InvalidRetry, r"cannot be 60. Use Retry\(delay="):
            Retry(60)


class ShownTests(TestCase):
    def test_a_value_is_shown_as_it_is_written(self):
        self.assertEqual(shown("a"), "'a'")
        self.assertEqual(shown(1e12), "1e+12")

    def test_a_long_one_is_cut_and_one_that_cannot_be_shown_is_named(self):
        class Broken:
            def __repr__(self):
                raise RuntimeError

        self.assertEqual(len(shown("x" * 1000)), 101)
        self.assertIn("<a Broken that cannot be shown: RuntimeError", shown(Broken()))
