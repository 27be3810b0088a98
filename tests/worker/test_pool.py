from unittest import TestCase, mock

from django.db import OperationalError

from django_toosimple_q.wakeups.pipe import WakeUp
from django_toosimple_q.worker.execution.pool import Pool
from django_toosimple_q.worker.in_flight import InFlight
from tests.support import NOW, claimed


class PoolTests(TestCase):
    def setUp(self):
        self.wakeup = WakeUp()
        self.addCleanup(self.wakeup.close)

    def pool(self, in_flight):
        return Pool(in_flight, lambda: NOW, self.wakeup, size=2)

    def test_what_ends_a_thread_ends_the_worker(self):
        in_flight = mock.Mock(ready=[])
        in_flight.take.side_effect = [mock.Mock(), None, None]
        pool = self.pool(in_flight)

        with mock.patch.object(Pool, "run_task", side_effect=RuntimeError("broken")):
            pool.start()
            pool.work(lambda: True)
            self.assertTrue(self.wakeup.wait(5))
            with self.assertRaisesRegex(RuntimeError, "broken"):
                pool.finish()

    def test_nothing_is_claimed_that_would_wait_for_a_quarantined_row(self):
        in_flight = InFlight(mock.Mock(**{"options.max_tasks": None}))
        pool = self.pool(in_flight)
        self.assertGreater(pool.wanted(), 0)

        in_flight.ready.append(mock.Mock(crash_count=1, pk=1))
        self.assertEqual(pool.wanted(), 0)

        in_flight.take()
        self.assertEqual(pool.wanted(), 0)

    def test_a_row_from_before_its_limit_never_runs_past_it_when_the_database_does_not_answer(self):
        in_flight = mock.Mock()
        in_flight.release.side_effect = OperationalError("gone")
        row = claimed()

        with self.assertRaises(OperationalError):
            self.pool(in_flight).queue_under_its_key(row, mock.Mock(concurrency_key="t"))

        self.assertEqual(
            [call.args[0].concurrency_key for call in in_flight.put_back.mock_calls], [""]
        )
