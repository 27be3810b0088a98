"""What a worker does with the rows it holds."""

from django.test import TestCase

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.worker.hands import Hands
from tests.support import NOW, claim, isolate_registries, make_task, make_worker, states


class HandsTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        make_task().queue_many([(1,), (2,), (3,)])
        me = make_worker()
        self.hands = Hands(WorkerStatus.objects.get())
        self.rows = claim(me)
        self.hands.ready.extend(self.rows)

    def end(self, row):
        self.hands.put(row, Outcome("SUCCEEDED", NOW, NOW))

    def test_a_suspect_runs_while_nothing_else_does(self):
        first, suspect, last = self.rows
        suspect.deaths = 1

        self.assertIs(self.hands.take(), first)
        self.assertIsNone(self.hands.take())
        self.end(first)
        self.assertIs(self.hands.take(), suspect)
        self.assertIsNone(self.hands.take())
        self.end(suspect)
        self.assertIs(self.hands.take(), last)

    def test_the_books_leave_alone_what_is_ready_runs_or_waits_to_be_stored(self):
        self.end(self.hands.take())
        self.hands.take()

        self.assertEqual(self.hands.reconcile(NOW), 0)

        self.assertEqual(states(), ["PROCESSING"] * 3)

    def test_the_books_hand_back_what_is_ours_and_not_in_hand(self):
        self.hands.ready.clear()

        self.assertEqual(self.hands.reconcile(NOW), 3)

        self.assertEqual(states(), ["QUEUED"] * 3)
