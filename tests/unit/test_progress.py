"""What a task may report of its progress, and how it is written."""

import asyncio
import math
from decimal import Decimal
from unittest import TestCase

from django_toosimple_q import track
from django_toosimple_q.exceptions import InvalidProgress
from django_toosimple_q.execution import running
from django_toosimple_q.progress import Progress, amount, share
from tests.support import claimed


class ReportTests(TestCase):
    def test_numbers_of_any_kind_are_taken(self):
        for done, total in ((3, 12), (0.25, 1.0), (Decimal("2.5"), None), (0, 0)):
            with self.subTest((done, total)):
                report = Progress.read(done, total, "")
                self.assertEqual((report.done, report.total), (done, total))

    def test_what_is_no_number_of_0_or_more_is_refused_with_the_value(self):
        for wrong in (-1, math.nan, math.inf, "3", None, True, 10**400, [1]):
            with (
                self.subTest(wrong),
                self.assertRaisesRegex(InvalidProgress, "^done of a"),
            ):
                Progress.read(wrong, None, "")
        with self.assertRaisesRegex(InvalidProgress, "total of a progress cannot be -2. Use a num"):
            Progress.read(1, -2, "")
        with self.assertRaisesRegex(InvalidProgress, "message of a progress cannot be 7. Use text"):
            Progress.read(1, 2, 7)

    def test_a_message_is_one_that_every_database_stores(self):
        report = Progress.read(1, 2, "a\0\ud800" + "x" * 1000)

        self.assertEqual(len(report.message), 255)
        self.assertTrue(report.message.startswith("a\\x00\\ud800x"))
        self.assertTrue(report.message.endswith("x…"))

    def test_it_is_written_as_an_amount(self):
        self.assertEqual(amount(None, None), "")
        self.assertEqual(amount(3.0, 12.0), "3 of 12")
        self.assertEqual(amount(123456789012.0, None), "123456789012")
        self.assertEqual(amount(0.35, 1.0), "0.35 of 1")

    def test_a_share_is_never_more_than_all(self):
        self.assertEqual([share(3, 12), share(13, 12), share(0, 0)], [0.25, 1, 1])
        self.assertIsNone(share(3, None))
        self.assertIsNone(share(None, 3))


class TrackTests(TestCase):
    def setUp(self):
        self.row = claimed()

    def inside(self):
        token = running.set(self.row)
        self.addCleanup(running.reset, token)

    def shown(self):
        return self.row.reported.done, self.row.reported.total, self.row.reported.message

    def test_an_item_counts_once_it_is_done(self):
        self.inside()
        seen = []

        for item in track(["a", "b"], message="reading"):
            seen.append((item, *self.shown()))

        self.assertEqual(seen, [("a", 0, 2, "reading"), ("b", 1, 2, "reading")])
        self.assertEqual(self.shown(), (2, 2, "reading"))

    def test_one_that_fails_leaves_what_was_done_before(self):
        self.inside()

        with self.assertRaises(ZeroDivisionError):
            for item in track([1, 0]):
                1 / item

        self.assertEqual(self.shown(), (1, 2, ""))

    def test_what_has_no_length_has_no_total_but_the_one_that_is_given(self):
        self.inside()

        list(track(iter([1, 2, 3])))
        self.assertEqual(self.shown(), (3, None, ""))
        list(track(iter([1, 2, 3]), total=5))
        self.assertEqual(self.shown(), (3, 5, ""))

    def test_an_asynchronous_iterable_is_for_async_for(self):
        self.inside()

        async def items():
            for item in "ab":
                yield item

        async def collect():
            return [(item, self.row.reported.done) async for item in track(items(), 2)]

        self.assertEqual(asyncio.run(collect()), [("a", 0), ("b", 1)])
        self.assertEqual(self.shown(), (2, 2, ""))

    def test_outside_of_a_worker_it_only_yields(self):
        self.assertEqual(list(track("ab")), ["a", "b"])
        self.assertIsNone(self.row.reported)
