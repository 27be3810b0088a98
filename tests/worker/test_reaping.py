import os
import signal
import time
from unittest import TestCase, skipUnless

from django_toosimple_q.worker import reaping
from django_toosimple_q.worker.identity import process_exists
from tests.support import wait_for


def forked(action):
    """Start a process that does something and return its id."""
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(3)
    return pid


@skipUnless(reaping.CAN_LOOK, "this system only tells by reaping")
class ReapingTests(TestCase):
    def test_a_child_that_ended_counts_as_alive_until_it_is_reaped(self):
        cases = ((lambda: None, 3), (lambda: os.kill(os.getpid(), signal.SIGKILL), -9))
        for action, code in cases:
            with self.subTest(code=code):
                pid = forked(action)

                wait_for(lambda pid=pid: reaping.exit_code(pid) is not None)

                self.assertEqual(reaping.exit_code(pid), code)
                self.assertTrue(process_exists(pid))
                reaping.reap(pid)
                self.assertFalse(process_exists(pid))

    def test_a_child_that_runs_has_no_exit_code(self):
        pid = forked(lambda: time.sleep(60))
        self.addCleanup(reaping.reap, pid)
        self.addCleanup(os.kill, pid, signal.SIGKILL)

        self.assertIsNone(reaping.exit_code(pid))

    def test_strangers_are_reaped_and_our_own_are_not(self):
        mine, stranger = forked(lambda: None), forked(lambda: None)
        self.addCleanup(reaping.reap, mine)
        wait_for(lambda: reaping.exit_code(mine) == reaping.exit_code(stranger) == 3)

        reaping.reap_strangers({mine})
        reaping.reap(mine)
        reaping.reap_strangers({mine})

        self.assertFalse(process_exists(stranger))
