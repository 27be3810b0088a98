from datetime import timedelta
from unittest import mock

from django.db import connection
from django.db.models import QuerySet
from django.test import TestCase, override_settings
from django.utils import timezone

from django_toosimple_q import Cancellation
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs
from django_toosimple_q.wakeups.hints import CANCELLED, announcer
from django_toosimple_q.worker.in_flight import InFlight
from tests.support import (
    NOW,
    claim,
    hints,
    isolate_registries,
    make_task,
    make_worker,
    registration_of,
    reload,
)


class ReadsElsewhere:
    """A router that sends whoever reads to a replica, here to one that does not answer."""

    def db_for_read(self, model, **hints):
        return "replica"


class CancelTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_waiting_call_never_runs(self):
        task = make_task(unique=True)
        for row in (task.queue(1), task.queue(2, due=timezone.now() + timedelta(hours=1))):
            self.assertIs(row.cancel("cancelled by ann"), Cancellation.CANCELLED)

            self.assertEqual((row.state, row.error), ("INTERRUPTED", "cancelled by ann"))
            self.assertIsNone(reload(row).unique_key)
        self.assertEqual(claim(make_worker(), queues=["default"]), [])
        self.assertEqual(task.queue(1).state, "QUEUED")

    def test_a_running_one_is_told(self):
        row = make_task().queue()
        claim(make_worker())

        asked = row.cancel()

        self.assertIs(asked, Cancellation.ASKED)
        self.assertTrue(asked)
        self.assertEqual(row.state, "PROCESSING")
        self.assertEqual(task_execs.cancelled([row.pk]), [row.pk])

    def test_a_running_one_that_was_cancelled_has_no_next_attempt(self):
        me = make_worker()
        row = make_task(retries=3).queue()
        [claimed] = claim(me)
        row.cancel()

        failed = Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(0, 2, 0))
        task_execs.finish([(claimed, failed)], me.worker_id, NOW)

        self.assertEqual((reload(row).state, reload(row).replaced_by), ("FAILED", None))

    def test_one_whose_worker_died_is_not_replaced(self):
        me = make_worker(rescued=NOW)
        row = make_task(retries=3).queue()
        TaskExec.objects.update(state="PROCESSING", worker_id=me.worker_id)
        row.cancel()

        task_execs.rescue(NOW)

        after = reload(row)
        self.assertEqual((after.state, after.replaced_by), ("INTERRUPTED", None))
        self.assertIn("cancelled; its worker died", after.error)

    def test_one_that_was_claimed_and_has_not_begun_never_does(self):
        me = make_worker()
        for options in ({}, {"unique": True}):
            with self.subTest(**options):
                row = make_task(f"t{options}", **options).queue()
                claimed = claim(me)
                row.cancel()

                task_execs.release(claimed, me.worker_id, NOW)

                after = reload(row)
                self.assertEqual((after.state, after.replaced_by), ("INTERRUPTED", None))
        self.assertEqual(claim(me), [])

    def test_a_worker_lets_go_of_one_that_it_has_in_hand(self):
        in_flight = InFlight(registration_of(make_worker()))
        kept, cancelled = make_task().queue_many([1, 2])
        in_flight.finish_and_claim(task_execs.backlog(NOW).buckets, 5, NOW, [])
        cancelled.cancel()

        in_flight.apply_cancellations(NOW)

        self.assertEqual([row.pk for row in in_flight.ready], [kept.pk])
        self.assertEqual(reload(cancelled).state, "INTERRUPTED")

    def test_one_that_runs_hears_of_it_and_knows_that_nothing_follows(self):
        in_flight = InFlight(registration_of(make_worker()))
        row = make_task().queue()
        in_flight.finish_and_claim(task_execs.backlog(NOW).buckets, 5, NOW, [])
        running = in_flight.take()
        row.cancel()

        in_flight.apply_cancellations(NOW)

        self.assertTrue(running.interrupted)
        self.assertTrue(running.cancelled)

    def test_one_that_has_ended_is_left(self):
        row = TaskExec.objects.create(task_name="t", state="SUCCEEDED")

        late = row.cancel()

        self.assertIs(late, Cancellation.TOO_LATE)
        self.assertFalse(late)
        self.assertEqual(row.state, "SUCCEEDED")

    def test_one_that_is_deleted_has_ended(self):
        self.assertIs(
            task_execs.cancel(12345, "no", NOW),
            Cancellation.TOO_LATE,
        )

    def test_one_that_is_released_in_between_is_cancelled_all_the_same(self):
        me = make_worker()
        row = make_task().queue()
        claimed = claim(me)
        update = QuerySet.update

        def released_first(rows, **values):
            if "cancelled" in values and claimed:
                task_execs.release([claimed.pop()], me.worker_id, NOW)
            return update(rows, **values)

        with mock.patch.object(QuerySet, "update", released_first):
            found = row.cancel()

        self.assertIs(found, Cancellation.CANCELLED)
        self.assertEqual(reload(row).state, "INTERRUPTED")

    def test_the_workers_are_told_of_a_claimed_one_only(self):
        waits, runs = make_task().queue_many([1, 2])
        TaskExec.objects.filter(pk=runs.pk).update(state="PROCESSING")
        channels = {"postgresql": [CANCELLED]}.get(connection.vendor, [])

        with hints() as sent:
            waits.cancel()
        self.assertNotIn(CANCELLED, sent)
        with (
            mock.patch.object(announcer, "send") as send,
            self.captureOnCommitCallbacks(execute=True),
        ):
            runs.cancel()

        self.assertEqual([call.args[2] for call in send.mock_calls], channels)

    def test_what_became_of_it_is_read_where_it_was_written(self):
        row = make_task().queue()

        with override_settings(DATABASE_ROUTERS=[ReadsElsewhere()]):
            self.assertTrue(row.cancel())

        self.assertEqual(row.state, "INTERRUPTED")
