"""The figures by minute and task: written by workers, summed up, pruned and read."""

import threading
from datetime import timedelta
from unittest import mock

from django.db import DatabaseError, connection, transaction
from django.test import TestCase, TransactionTestCase

from django_toosimple_q.execution import Outcome
from django_toosimple_q.histogram import bin_of, quantile
from django_toosimple_q.models import Minute
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import minutes
from django_toosimple_q.store.minutes import FIRST_RUN_BIN, FIRST_WAIT_BIN, LONG_SPAN, Tally
from django_toosimple_q.worker.maintenance import Maintenance
from django_toosimple_q.worker.minutes import Minutes
from tests.support import NOW, claimed, isolate_registries, make_task, make_worker, registration_of

MINUTE = minutes.minute_of(NOW)


def ended(state="SUCCEEDED", seconds=0.0, **fields):
    return Outcome(state, NOW, NOW + timedelta(seconds=seconds), **fields)


def stored(minute, task_name="t", queue="default", worker=1, **fields):
    return Minute.objects.create(
        minute=minute, task_name=task_name, queue=queue, worker_id=worker, **fields
    )


class ReadTests(TestCase):
    def test_a_minute_is_that_of_the_moment_in_any_zone(self):
        self.assertEqual(minutes.begin_of(MINUTE), NOW)
        self.assertEqual(minutes.minute_of(NOW + timedelta(seconds=59.9)), MINUTE)

    def test_intervals_are_summed_up_over_workers_tasks_and_queues(self):
        stored(MINUTE, done=1, run_3=1)
        stored(MINUTE + 4, "u", "q", worker=2, done=2, failures=1, run_3=2, run_seconds=1.5)
        stored(MINUTE + 5, done=8)
        stored(MINUTE + 10, done=16)
        stored(MINUTE - 1, done=32)

        intervals = minutes.by_interval(MINUTE, MINUTE + 10, 5)

        self.assertEqual([*intervals], [MINUTE, MINUTE + 5])
        first = intervals[MINUTE]
        self.assertEqual(first[:6], [3, 1, 0, 0, 1.5, 0])
        self.assertEqual(first[FIRST_RUN_BIN + 3], 3)
        self.assertTrue(all(type(one) in (int, float) for one in first), first)
        self.assertEqual(intervals[MINUTE + 5][0], 8)

    def test_tasks_and_queues_have_their_own_sums(self):
        stored(MINUTE, "t", "q", done=1)
        stored(MINUTE + 1, "t", "r", done=2)
        stored(MINUTE + 1, "T", "R", failures=4)

        self.assertEqual(
            {
                name: (last, one[:2])
                for name, (last, one) in minutes.by_task(MINUTE, MINUTE + 2).items()
            },
            {"t": (MINUTE + 1, [3, 0]), "T": (MINUTE + 1, [0, 4])},
        )
        self.assertEqual([*minutes.by_queue(MINUTE, MINUTE + 2)], sorted(["R", "q", "r"]))
        self.assertEqual(
            sorted(minutes.by_task_and_queue(MINUTE, MINUTE + 2)),
            [("T", "R"), ("t", "q"), ("t", "r")],
        )
        self.assertEqual(
            minutes.ends_by_task(MINUTE, MINUTE + 2, 1, ["t"]),
            {"t": {MINUTE: [1, 0, 0, 0], MINUTE + 1: [2, 0, 0, 0]}},
        )

    def test_an_hour_without_minutes_is_empty(self):
        self.assertEqual(minutes.by_interval(MINUTE, MINUTE + 60, 1), {})
        self.assertEqual(minutes.by_task(MINUTE, MINUTE + 60), {})


class WriteTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()
        self.minutes = Minutes(registration_of(self.me))

    def end(self, outcome, **fields):
        self.minutes.add(claimed(**fields), outcome)

    def test_each_end_is_counted_with_its_times(self):
        self.end(ended(seconds=0.03), due=NOW - timedelta(seconds=8))
        self.end(ended("FAILED"))
        self.end(ended("INVALID"))
        self.end(ended("FAILED", next_attempt=NextAttempt(0, 1, 0)))
        self.end(ended("INTERRUPTED", replaced=True))
        self.end(ended("INTERRUPTED"))

        self.minutes.write(NOW)

        row = Minute.objects.get()
        self.assertEqual((row.minute, row.span, row.worker_id), (MINUTE, 1, self.me.worker_id))
        self.assertEqual((row.task_name, row.queue), ("t", "default"))
        self.assertEqual((row.done, row.failures, row.retried, row.interrupted), (1, 2, 2, 1))
        self.assertAlmostEqual(row.run_seconds, 0.03)
        self.assertAlmostEqual(row.wait_seconds, 8)
        counts = minutes.by_task(MINUTE, MINUTE + 1)["t"][1]
        self.assertEqual(counts[FIRST_RUN_BIN + bin_of(0.03)], 1)
        self.assertEqual(counts[FIRST_WAIT_BIN + bin_of(8)], 1)
        self.assertEqual(sum(counts[FIRST_RUN_BIN:FIRST_WAIT_BIN]), 6)
        self.assertLess(quantile(counts[FIRST_RUN_BIN:FIRST_WAIT_BIN], 0.95), 0.05)

    def test_what_never_started_has_no_times(self):
        self.end(Outcome("INTERRUPTED", None, NOW))

        self.minutes.write(NOW)

        self.assertEqual(sum(minutes.by_task(MINUTE, MINUTE + 1)["t"][1]), 1)

    def test_a_clock_that_goes_back_counts_as_no_time(self):
        self.end(ended(seconds=-60), due=NOW + timedelta(hours=1))

        self.minutes.write(NOW)

        row = Minute.objects.get()
        self.assertEqual((row.run_seconds, row.wait_seconds, row.run_0, row.wait_0), (0, 0, 1, 1))

    def test_it_writes_once_a_second_and_at_once_when_told(self):
        self.end(ended())
        self.minutes.write(NOW)
        self.end(ended())

        with self.assertNumQueries(0):
            self.minutes.write(NOW)
        self.assertTrue(self.minutes.pending)
        self.minutes.write(NOW, at_once=True)

        self.assertFalse(self.minutes.pending)
        self.assertEqual(Minute.objects.get().done, 2)

    def test_a_minute_and_a_task_and_a_queue_have_a_row_each(self):
        for name, queue in [("t", "q"), ("u", "q"), ("t", "r"), ("t", "q")]:
            self.end(ended(), name=name, queue=queue)
        self.minutes.write(NOW)
        self.end(ended(), name="t", queue="q")
        self.minutes.write(NOW + timedelta(minutes=1), at_once=True)

        rows = Minute.objects.values_list("minute", "task_name", "queue", "done")
        self.assertEqual(
            sorted(rows),
            [
                *((MINUTE, "t", "q", 2), (MINUTE, "t", "r", 1), (MINUTE, "u", "q", 1)),
                (MINUTE + 1, "t", "q", 1),
            ],
        )

    def test_what_could_not_be_stored_is_stored_later_and_once(self):
        self.end(ended())
        with (
            mock.patch.object(minutes, "write", side_effect=DatabaseError("gone")),
            self.assertRaises(DatabaseError),
        ):
            self.minutes.write(NOW)
        self.end(ended())

        self.minutes.write(NOW + timedelta(minutes=1), at_once=True)

        rows = Minute.objects.order_by("minute").values_list("minute", "done")
        self.assertEqual(list(rows), [(MINUTE, 1), (MINUTE + 1, 1)])

    def test_a_repetition_adds_nothing(self):
        tally = Tally(MINUTE, "t", "q")
        tally.counts[0] = 5
        [tally.pk] = minutes.write(self.me.worker_id, [tally])

        minutes.write(self.me.worker_id, [tally])
        minutes.write(self.me.worker_id, [tally])

        self.assertEqual(Minute.objects.get().done, 5)

    def test_inside_a_transaction_of_the_caller_nothing_is_written(self):
        self.end(ended())

        with transaction.atomic():
            self.minutes.write(NOW)

        self.assertEqual(Minute.objects.count(), 0)
        self.minutes.write(NOW, at_once=True)
        self.assertEqual(Minute.objects.get().done, 1)

    def test_many_tasks_are_written(self):
        for number in range(450):
            self.end(ended(), name=f"task {number}")
        self.minutes.write(NOW)
        for number in range(450):
            self.end(ended(), name=f"task {number}")

        self.minutes.write(NOW, at_once=True)

        self.assertEqual(set(Minute.objects.values_list("done")), {(2,)})

    def test_a_worker_waits_for_no_other(self):
        if connection.vendor == "sqlite":
            self.skipTest("SQLite has one writer at a time.")
        other = make_worker("other", "o")
        theirs = Minutes(registration_of(other))
        for one in (self.minutes, theirs):
            one.add(claimed(), ended())
            one.write(NOW)
            one.add(claimed(), ended())
        done = threading.Event()

        def write():
            theirs.write(NOW, at_once=True)
            theirs.add(claimed("another"), ended())
            theirs.write(NOW, at_once=True)
            done.set()
            connection.close()

        with transaction.atomic():
            # As a worker that stands still in the middle of its statement.
            tallies = list(self.minutes.tallies.values())
            minutes.write(self.me.worker_id, [*tallies, Tally(MINUTE, "new", "q")])
            thread = threading.Thread(target=write)
            thread.start()
            self.assertTrue(done.wait(1.8), "it waited for the lock, which falls after two seconds")
        thread.join()
        self.assertEqual(Minute.objects.filter(worker=other.worker_id).count(), 2)


class SumUpTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()
        self.maintenance = Maintenance(registration_of(self.me), patient=True)

    def sum_up(self, now=NOW):
        for _ in range(3):
            self.maintenance.run_once(now)

    def test_what_is_two_hours_old_is_summed_up_over_workers_and_quarters(self):
        begin = MINUTE - 150 - (MINUTE - 150) % LONG_SPAN
        for minute in (begin, begin + 14):
            for worker in (1, 2):
                stored(minute, worker=worker, done=1, run_2=1, run_seconds=0.5)
        stored(begin + 15, done=1)
        stored(begin, "u", done=1)
        kept = stored(MINUTE - 60, done=1)
        before = minutes.by_interval(begin, MINUTE, 15)

        self.sum_up()

        rows = Minute.objects.exclude(pk=kept.pk).order_by("minute", "task_name")
        self.assertEqual(
            list(rows.values_list("minute", "span", "task_name", "done", "run_2", "run_seconds")),
            [
                (begin, 15, "t", 4, 4, 2.0),
                (begin, 15, "u", 1, 0, 0.0),
                (begin + 15, 15, "t", 1, 0, 0.0),
            ],
        )
        self.assertEqual(minutes.by_interval(begin, MINUTE, 15), before)

    def test_more_rows_than_one_transaction_takes(self):
        begin = MINUTE - 600
        Minute.objects.bulk_create(
            Minute(minute=begin + n % 300, worker_id=n + 1, task_name="t", queue="q", done=1)
            for n in range(2500)
        )

        self.sum_up()

        self.assertEqual(Minute.objects.filter(span=1).count(), 0)
        self.assertLess(Minute.objects.count(), 30)
        self.assertEqual(sum(one[0] for _, one in minutes.by_task(begin, MINUTE).values()), 2500)

    def test_what_is_thirty_days_old_is_deleted(self):
        stored(MINUTE - 31 * 24 * 60, done=1)
        stored(MINUTE - 29 * 24 * 60, done=2)

        self.sum_up()

        self.assertEqual([row.done for row in Minute.objects.all()], [2])


class DrainTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_worker_that_drains_and_ends_has_counted_all(self):
        from django.core.management import call_command

        make_task("good").queue_many([()] * 7)
        make_task("bad", lambda: 1 / 0, retries=1).queue()

        call_command("worker", "--until_done", verbosity=0)

        found = {
            row.task_name: (row.done, row.failures, row.retried) for row in Minute.objects.all()
        }
        self.assertEqual(found, {"good": (7, 0, 0), "bad": (0, 1, 1)})
