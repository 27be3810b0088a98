"""A task that does not stop after its timeout: what is announced, though its process ends."""

from unittest import mock

from django.test import TransactionTestCase
from django.utils import timezone

from django_toosimple_q import signals
from django_toosimple_q.exceptions import TaskDidNotStop
from django_toosimple_q.worker.execution.deadline import Slot
from django_toosimple_q.worker.execution.hard_timeout import HardTimeout
from django_toosimple_q.worker.in_flight import InFlight
from tests.support import (
    NOW,
    claim,
    isolate_registries,
    make_task,
    make_worker,
    registration_of,
    reload,
)


class AbandonTests(TransactionTestCase):
    def test_its_end_is_announced_as_any_other(self):
        isolate_registries(self)
        task = make_task()
        row = task.queue()
        me = make_worker("mine")
        in_flight = InFlight(registration_of(me))
        in_flight.ready.extend(claim(me, now=timezone.now()))
        slot = Slot()
        slot.occupy(in_flight.take())
        seen = []

        def receiver(claimed, outcome, worker, **kwargs):
            seen.append((claimed.pk, outcome.state, type(outcome.exception), worker))

        signals.task_finished.connect(receiver)
        self.addCleanup(signals.task_finished.disconnect, receiver)
        hard_timeout = HardTimeout(
            in_flight, mock.Mock(), mock.Mock(), lambda: NOW, lambda code, log: None
        )

        hard_timeout.abandon(slot, slot.claimed, task, TaskDidNotStop("it did not stop"))

        self.assertEqual(seen, [(row.pk, "FAILED", TaskDidNotStop, "mine")])
        self.assertEqual(reload(row).state, "FAILED")
        self.assertTrue(slot.abandoned)
