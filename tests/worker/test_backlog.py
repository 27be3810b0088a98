from datetime import timedelta
from math import inf
from unittest import mock

from django.test import TestCase

from django_toosimple_q.worker.backlog import Backlog
from tests.support import NOW, claim, isolate_registries, make_task, make_worker


class BacklogTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.backlog = Backlog(lambda queue: queue == "mine")
        self.task = make_task(queue="mine")

    def test_what_is_due_is_woken_and_waits_in_its_queue(self):
        self.task.queue(due=NOW - timedelta(seconds=1))

        self.backlog.read(NOW)

        self.assertEqual([bucket.queue for bucket in self.backlog.buckets], ["mine"])

    def test_queues_of_others_are_left_out(self):
        make_task("other", queue="other").queue()

        self.backlog.read(NOW)

        self.assertEqual(self.backlog.buckets, [])

    def test_there_is_nothing_to_claim_until_the_next_is_due_or_a_schedule_is(self):
        self.task.queue(due=NOW + timedelta(seconds=9))

        self.backlog.read(NOW)

        self.assertEqual(self.backlog.seconds_left(NOW, None), 9)
        self.assertEqual(self.backlog.seconds_left(NOW, NOW + timedelta(seconds=2)), 2)

    def test_it_ends_when_a_rate_lets_the_next_one_start(self):
        make_task("rare", queue="mine", rate_limit="10/m").queue_many(range(2))
        claim(make_worker())

        self.backlog.read(NOW)

        self.assertEqual((self.backlog.buckets, self.backlog.seconds_left(NOW, None)), ([], 6))

    def test_without_rows_there_is_no_end_to_it(self):
        self.backlog.read(NOW)

        self.assertEqual(self.backlog.seconds_left(NOW, None), inf)

    def test_a_due_row_that_somebody_has_locked_does_not_make_the_worker_spin(self):
        self.task.queue(due=NOW - timedelta(seconds=1))

        with mock.patch("django_toosimple_q.store.task_execs.wake", return_value=0):
            self.backlog.read(NOW)

        self.assertEqual(self.backlog.seconds_left(NOW, None), inf)
