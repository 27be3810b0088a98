from datetime import timedelta
from math import inf
from unittest import mock

from django.test import TestCase

from django_toosimple_q.worker.outlook import Outlook
from tests.support import NOW, isolate_registries, make_task


class OutlookTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.outlook = Outlook(lambda queue: queue == "mine")
        self.task = make_task(queue="mine")

    def test_what_is_due_is_woken_and_waits_in_its_place(self):
        self.task.queue(due=NOW - timedelta(seconds=1))

        self.outlook.look(NOW)

        self.assertEqual([place.queue for place in self.outlook.places], ["mine"])

    def test_queues_of_others_are_left_out(self):
        make_task("other", queue="other").queue()

        self.outlook.look(NOW)

        self.assertEqual(self.outlook.places, [])

    def test_there_is_nothing_to_claim_until_the_next_is_due_or_a_schedule_is(self):
        self.task.queue(due=NOW + timedelta(seconds=9))

        self.outlook.look(NOW)

        self.assertEqual(self.outlook.seconds_left(NOW, None), 9)
        self.assertEqual(self.outlook.seconds_left(NOW, NOW + timedelta(seconds=2)), 2)

    def test_a_due_row_that_somebody_has_locked_does_not_make_the_worker_spin(self):
        self.task.queue(due=NOW - timedelta(seconds=1))

        with mock.patch("django_toosimple_q.store.task_execs.wake", return_value=0):
            self.outlook.look(NOW)

        self.assertEqual(self.outlook.seconds_left(NOW, None), inf)
