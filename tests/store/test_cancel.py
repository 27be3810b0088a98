from datetime import timedelta

from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs
from tests.support import NOW, claim, isolate_registries, make_task, make_worker, reload


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

    def test_one_that_has_ended_is_left(self):
        row = TaskExec.objects.create(task_name="t", state="SUCCEEDED")

        self.assertFalse(row.cancel())
        self.assertEqual(row.state, "SUCCEEDED")
