import os
import signal
import time
from unittest import TestCase, skipUnless

from django_toosimple_q.worker.processes import children
from django_toosimple_q.worker.registration import process_exists
from tests.support import wait_for


def forked(action):
    """Start a process that does something and return its id."""
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(3)
    return pid


@skipUnless(children.CAN_PEEK, "this system only tells by children")
class ChildrenTests(TestCase):
    def test_a_child_that_ended_counts_as_alive_until_it_is_reaped(self):
        cases = ((lambda: None, 3), (lambda: os.kill(os.getpid(), signal.SIGKILL), -9))
        for action, code in cases:
            with self.subTest(code=code):
                pid = forked(action)

                wait_for(lambda pid=pid: children.exit_code(pid) is not None)

                self.assertEqual(children.exit_code(pid), code)
                self.assertTrue(process_exists(pid))
                children.reap(pid)
                self.assertFalse(process_exists(pid))

    def test_a_child_that_runs_has_no_exit_code(self):
        pid = forked(lambda: time.sleep(60))
        self.addCleanup(children.reap, pid)
        self.addCleanup(os.kill, pid, signal.SIGKILL)

        self.assertIsNone(children.exit_code(pid))

    def test_strangers_are_reaped_and_our_own_are_not(self):
        mine, stranger = forked(lambda: None), forked(lambda: None)
        self.addCleanup(children.reap, mine)
        wait_for(lambda: children.exit_code(mine) == children.exit_code(stranger) == 3)

        children.reap_strangers({mine})
        children.reap(mine)
        children.reap_strangers({mine})

        self.assertFalse(process_exists(stranger))
