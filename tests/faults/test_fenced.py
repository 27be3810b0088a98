"""A worker was declared dead while it stood still: what it forgets, and how it ends."""

from unittest import mock

from django.test import TransactionTestCase

from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import task_execs, workers
from tests.faults.world import Member
from tests.support import isolate_registries, make_task, states


class FencedTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.runs = []
        self.task = make_task(func=lambda n: self.runs.append(n))
        self.member = Member("w")
        self.worker = self.member.worker

    def die(self):
        """Let the others take it for dead and rescue what it held."""
        workers.declare_gone(WorkerStatus.objects.get(), self.worker.now())
        task_execs.rescue(self.worker.now())
        self.member.beat()

    def test_what_it_held_and_had_not_begun_is_forgotten(self):
        self.member.step()
        self.task.queue(1)
        with mock.patch.object(self.worker.runner, "work"):
            self.member.step()

        self.die()
        while self.member.step():
            pass

        self.assertEqual(self.runs, [1])
        self.assertEqual(states(), ["INTERRUPTED", "SUCCEEDED"])

    def test_one_that_ends_before_it_has_registered_anew_was_interrupted(self):
        self.member.step()
        self.assertEqual(self.worker.verdict()[0], 0)

        self.die()

        self.assertEqual(self.worker.verdict()[0], 77)
