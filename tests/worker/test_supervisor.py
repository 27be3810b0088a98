"""When a child is started again, by a clock that the test turns."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from unittest import TestCase, mock

from django.core.management import CommandError, call_command

from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.processes.children import exit_code, reap
from django_toosimple_q.worker.processes.shutdown import Shutdown
from django_toosimple_q.worker.processes.supervisor import Supervisor
from tests.support import wait_for


class Crashing(Supervisor):
    """Its children end at once, with these codes."""

    def __init__(self, *codes, at_a_task=False):
        super().__init__(WorkerOptions(processes=1))
        self.at_a_task = at_a_task
        self.codes = list(codes)
        self.starts = []

    def start(self, child, now):
        self.starts.append(now)
        super().start(child, now)

    def be_child(self, child):
        if self.at_a_task:
            child.scoreboard.begin(1)
        if self.codes[len(self.starts) - 1] == 0:
            child.scoreboard.mark_exited()
        return self.codes[len(self.starts) - 1]


class Stopped(Supervisor):
    """Its child is told to stop before it has its handlers, and ends with 0 if it hears of it."""

    def be_child(self, child):
        os.kill(os.getpid(), signal.SIGTERM)
        shutdown = Shutdown(0, mock.Mock(slots=[]), self.wakeup)
        with shutdown.installed():
            return 0 if shutdown.requested else 1


class StopTests(TestCase):
    def test_a_stop_that_reaches_a_child_before_it_has_its_handlers_is_kept_for_them(self):
        supervisor = Stopped(WorkerOptions(processes=1))
        self.addCleanup(supervisor.wakeup.close)
        [child] = supervisor.children

        supervisor.run_once(0.0)
        wait_for(lambda: exit_code(child.pid) is not None)
        self.addCleanup(reap, child.pid)

        self.assertEqual(exit_code(child.pid), 0)
        self.assertNotIn(signal.SIGTERM, signal.pthread_sigmask(signal.SIG_BLOCK, ()))


class ThreadTests(TestCase):
    def test_in_a_thread_it_is_refused_with_the_cure(self):
        with ThreadPoolExecutor(1, "mine") as pool:
            error = pool.submit(call_command, "worker", "--processes=2").exception()

        self.assertIsInstance(error, CommandError)
        self.assertIn("--processes=2 was called in thread 'mine_0'", str(error))
        self.assertIn("Call it in the main thread, or use --threads.", str(error))


class RestartTests(TestCase):
    def supervise(self, supervisor, *, lives=0.0, until=1000.0):
        """Turn the clock from event to event; each child lives for so many seconds."""
        self.addCleanup(supervisor.wakeup.close)
        [child] = supervisor.children
        now = 0.0
        while now < until and supervisor.run_once(now):
            if child.pid:
                wait_for(lambda: exit_code(child.pid) is not None)
                now += lives
            else:
                now = child.start_at
        self.addCleanup(self.end, child.pid)
        return supervisor

    def end(self, pid):
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def pauses(self, supervisor):
        return [after - before for before, after in pairwise(supervisor.starts)]

    def test_a_child_that_always_crashes_starts_ever_later_and_ten_times_at_most(self):
        supervisor = self.supervise(Crashing(*[3] * 20))

        self.assertEqual(self.pauses(supervisor), [1, 2, 4, 8, 16, 32, 60, 60, 60])
        self.assertEqual(supervisor.worst, 99)

    def test_one_that_a_task_kills_starts_again_soon_however_often(self):
        supervisor = self.supervise(Crashing(*[3] * 20, at_a_task=True), until=19.0)

        self.assertEqual(self.pauses(supervisor), [1] * 18)
        self.assertEqual(supervisor.worst, 0)

    def test_one_that_lived_for_five_minutes_starts_over_with_a_short_pause(self):
        supervisor = self.supervise(Crashing(*[3] * 20), lives=301.0, until=3600.0)

        self.assertEqual(set(self.pauses(supervisor)), {302.0})
        self.assertEqual(supervisor.worst, 0)

    def test_one_that_fell_a_little_sooner_waits_ever_longer(self):
        supervisor = self.supervise(Crashing(*[3] * 20), lives=299.0, until=1500.0)

        self.assertEqual(self.pauses(supervisor), [300, 301, 303, 307])

    def test_one_that_recycles_itself_starts_again_at_once(self):
        supervisor = self.supervise(Crashing(*[0] * 20), lives=1.0, until=10.0)

        self.assertEqual(set(self.pauses(supervisor)), {1.0})
