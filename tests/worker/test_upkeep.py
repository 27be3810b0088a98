"""When the threads beside the tasks act: as seldom as they can, and in time."""

import threading
import time
from unittest import mock

from django.test import SimpleTestCase, TransactionTestCase

from django_toosimple_q.execution import Outcome
from django_toosimple_q.worker.background import BackgroundThread
from django_toosimple_q.worker.batch_size import HOLD_SECONDS
from django_toosimple_q.worker.in_flight import InFlight
from django_toosimple_q.worker.upkeep import (
    FLUSH_SECONDS,
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
    Upkeep,
)
from tests.support import claimed


class PauseTests(SimpleTestCase):
    def setUp(self):
        self.in_flight = InFlight(mock.Mock(**{"options.max_tasks": None}))
        self.upkeep = Upkeep(
            *(mock.Mock(), mock.Mock(**{"registration.options.beat": 5}), self.in_flight),
            *(mock.Mock(), mock.Mock(), mock.Mock()),
            guest=False,
        )

    def test_what_runs_is_looked_at_ten_times_a_second(self):
        self.assertEqual(self.upkeep.pause_seconds(), LONGEST_SECONDS)

    def test_it_ends_when_an_outcome_is_to_be_stored(self):
        self.in_flight.put(claimed(), Outcome("SUCCEEDED"))

        self.assertLessEqual(self.upkeep.pause_seconds(), FLUSH_SECONDS)

    def test_it_ends_when_a_claimed_row_is_to_be_released(self):
        self.in_flight.ready.append(claimed(claimed_at=time.monotonic()))

        self.assertLessEqual(self.upkeep.pause_seconds(), HOLD_SECONDS)

    def test_what_is_due_already_is_not_tried_without_a_pause(self):
        self.in_flight.ready.append(claimed(claimed_at=time.monotonic() - 60))

        self.assertEqual(self.upkeep.pause_seconds(), SHORTEST_SECONDS)


class BackgroundThreadTests(TransactionTestCase):
    def test_the_end_of_a_worker_ends_its_pause(self):
        pausing = threading.Event()

        def pause_seconds():
            pausing.set()
            return 60.0

        thread = BackgroundThread("test", 60, lambda: None, busy=lambda: True)
        thread.pause_seconds = pause_seconds
        with thread.running():
            self.assertTrue(pausing.wait(20))
            began = time.monotonic()

        self.assertLess(time.monotonic() - began, 20)
        self.assertIsNone(thread.crash)
