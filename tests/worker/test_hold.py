"""A worker holds no rows that would not begin in a moment."""

import time
from unittest import mock

from django.test import TransactionTestCase

from django_toosimple_q.worker import upkeep
from tests.faults.world import Member
from tests.support import isolate_registries, make_task, states


class HoldTests(TransactionTestCase):
    def worker_with_two_rows(self):
        isolate_registries(self)
        worker = Member("w").worker
        self.addCleanup(worker.wakeup.close)
        make_task().queue_many([(1,), (2,)])
        worker.enter()
        worker.backlog.read(worker.now())
        worker.in_flight.finish_and_claim(worker.backlog.buckets, 2, worker.now(), [])
        return worker

    def test_a_row_is_released_that_has_waited_for_70_milliseconds(self):
        worker = self.worker_with_two_rows()
        claimed_at = worker.in_flight.ready[0].claimed_at

        for seconds, expected in ((0.06, "PROCESSING"), (0.08, "QUEUED")):
            clock = mock.Mock(monotonic=mock.Mock(return_value=claimed_at + seconds))
            with mock.patch.object(upkeep, "time", clock):
                worker.upkeep.on_busy_tick()
            self.assertEqual(states(), [expected] * 2, seconds)

    def test_what_waits_behind_a_long_task_is_released_then_and_not_before(self):
        worker = self.worker_with_two_rows()
        # It was claimed an hour from now, as far as the clock is concerned: no load ends that.
        worker.in_flight.ready[0].claimed_at = time.monotonic() + 3600

        worker.upkeep.on_busy_tick()
        self.assertEqual(states(), ["PROCESSING"] * 2)

        worker.in_flight.ready[0].claimed_at = time.monotonic() - 1
        worker.upkeep.on_busy_tick()
        self.assertEqual(states(), ["QUEUED"] * 2)
