from datetime import timedelta

from django.test import TestCase, override_settings
from django.utils import timezone

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs
from django_toosimple_q.worker.hands import Hands
from tests.support import NOW, claim, isolate_registries, make_task, make_worker, reload


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
            self.assertTrue(row.cancel("cancelled by ann"))

            self.assertEqual((row.state, row.error), ("INTERRUPTED", "cancelled by ann"))
            self.assertIsNone(reload(row).unique_key)
        self.assertEqual(claim(make_worker(), queues=["default"]), [])
        self.assertEqual(task.queue(1).state, "QUEUED")

    def test_a_running_one_is_told(self):
        row = make_task().queue()
        claim(make_worker())

        self.assertTrue(row.cancel())

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

                task_execs.hand_back(claimed, me.worker_id, NOW)

                after = reload(row)
                self.assertEqual((after.state, after.replaced_by), ("INTERRUPTED", None))
        self.assertEqual(claim(me), [])

    def test_a_worker_lets_go_of_one_that_it_has_in_hand(self):
        hands = Hands(WorkerStatus.objects.get(pk=make_worker().worker_id))
        kept, cancelled = make_task().queue_many([1, 2])
        hands.turn_over(task_execs.look(NOW).places, 5, NOW, [])
        cancelled.cancel()

        hands.heed_cancels(NOW)

        self.assertEqual([row.pk for row in hands.ready], [kept.pk])
        self.assertEqual(reload(cancelled).state, "INTERRUPTED")

    def test_one_that_has_ended_is_left(self):
        row = TaskExec.objects.create(task_name="t", state="SUCCEEDED")

        self.assertFalse(row.cancel())
        self.assertEqual(row.state, "SUCCEEDED")

    def test_what_became_of_it_is_read_where_it_was_written(self):
        row = make_task().queue()

        with override_settings(DATABASE_ROUTERS=[ReadsElsewhere()]):
            self.assertTrue(row.cancel())

        self.assertEqual(row.state, "INTERRUPTED")
