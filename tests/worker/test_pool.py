from unittest import TestCase, mock

from django.db import OperationalError

from django_toosimple_q.execution import Claimed
from django_toosimple_q.notify.wakeup import WakeUp
from django_toosimple_q.worker.hands import Hands
from django_toosimple_q.worker.runner import Pool
from tests.support import NOW


class PoolTests(TestCase):
    def setUp(self):
        self.wakeup = WakeUp()
        self.addCleanup(self.wakeup.close)

    def pool(self, hands):
        return Pool(hands, lambda: NOW, self.wakeup, size=2)

    def test_what_ends_a_thread_ends_the_worker(self):
        hands = mock.Mock(ready=[])
        hands.take.side_effect = [mock.Mock(), None, None]
        pool = self.pool(hands)

        with mock.patch.object(Pool, "run_task", side_effect=RuntimeError("broken")):
            pool.start()
            pool.work(lambda: True)
            self.assertTrue(self.wakeup.wait(5))
            with self.assertRaisesRegex(RuntimeError, "broken"):
                pool.finish()

    def test_nothing_is_claimed_that_would_wait_for_a_suspect(self):
        hands = Hands(mock.Mock())
        pool = self.pool(hands)
        self.assertGreater(pool.wanted(), 0)

        hands.ready.append(mock.Mock(deaths=1, pk=1))
        self.assertEqual(pool.wanted(), 0)

        hands.take()
        self.assertEqual(pool.wanted(), 0)

    def test_a_row_from_before_its_limit_never_runs_past_it_when_the_database_does_not_answer(self):
        hands = mock.Mock()
        hands.hand_back.side_effect = OperationalError("gone")
        row = Claimed(
            *(1, "t", "", "", "default", 0, 0, 0, NOW, None, 1, None, 0, "", False, None), lane=""
        )

        with self.assertRaises(OperationalError):
            self.pool(hands).queue_in_lane(row, mock.Mock(lane="t"))

        self.assertEqual([call.args[0].lane for call in hands.put_back.mock_calls], [""])
