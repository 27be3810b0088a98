"""No call behind a suppressed hint waits for the tick: a worker that got a hint keeps looking.

Time is simulated: it passes in waits and stalls only, so no load can change what happens.
"""

from unittest import TestCase, mock

from django_toosimple_q.wakeups import hints
from django_toosimple_q.worker import worker as worker_module
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.worker import Worker

TICK = 10.0
FIRST = 100.0
# A fiftieth of a second, and what sums of floats lose.
LATE = 0.02 + 1e-6


class Simulation:
    """One process that queues calls, and one worker that runs nothing but its waits."""

    debounced = True

    def __init__(self, commits, stall=0.0):
        self.time = 0.0
        self.commits = list(commits)
        # How long the worker stands still between each look and the wait that follows.
        self.stall = stall
        self.announcer = hints.Announcer()
        self.hint = False
        self.hints_sent = 0
        self.unseen = []
        self.delays = []

    def monotonic(self):
        return self.time

    def run(self, worker):
        """Let the worker wait and look until it has seen each call; return how late."""
        worker.hints = self
        while self.commits or self.unseen:
            worker.wait()
            self.delays += [self.time - moment for moment in self.unseen]
            self.unseen = []
            self.pass_time(self.stall)
        return self.delays

    def wait(self, seconds):
        """Wait as a worker's hints do."""
        ends = self.time + seconds
        while not self.hint and self.commits and self.commits[0] <= ends:
            self.commit()
        if not self.hint:
            self.time = ends
        heard, self.hint = self.hint, False
        return heard

    def pass_time(self, seconds):
        ends = self.time + seconds
        while self.commits and self.commits[0] <= ends:
            self.commit()
        self.time = ends

    def commit(self):
        moment = self.commits.pop(0)
        self.time = max(self.time, moment)
        self.unseen.append(moment)
        self.announcer.announce(mock.Mock(in_atomic_block=False), self.send)

    def send(self, connection, channel):
        self.hint = True
        self.hints_sent += 1


class AttentionTests(TestCase):
    def delays(self, commits, **settings):
        """Return how late an idle worker looks after each commit, and how many hints it got."""
        worker = Worker(WorkerOptions(label="w", tick=TICK))
        self.addCleanup(worker.wakeup.close)
        simulated = Simulation(commits, **settings)
        with (
            mock.patch.object(worker_module, "time", simulated),
            mock.patch.object(hints, "time", simulated),
        ):
            return simulated.run(worker), simulated.hints_sent

    def test_a_call_right_after_another_does_not_wait_for_the_tick(self):
        for gap in (0.001, 0.02, 0.05, 0.09, 0.0999):
            with self.subTest(gap=gap):
                delays, sent = self.delays([FIRST, FIRST + gap])

                self.assertEqual(sent, 1)
                self.assertLessEqual(max(delays), LATE)

    def test_many_calls_in_a_row_do_not_either(self):
        delays, sent = self.delays([FIRST + 0.007 * number for number in range(100)])

        self.assertEqual(len(delays), 100)
        self.assertLessEqual(max(delays), LATE)
        self.assertEqual(sent, 7)

    def test_a_worker_that_stands_still_looks_once_more_before_it_waits_for_the_tick(self):
        for stall in (0.03, 0.1, 0.15, 0.25, 1.0):
            for gap in (0.001, 0.05, 0.0999):
                with self.subTest(stall=stall, gap=gap):
                    delays, sent = self.delays([FIRST, FIRST + gap], stall=stall)

                    self.assertEqual(sent, 1)
                    self.assertLessEqual(max(delays), stall + LATE)

    def test_an_idle_worker_waits_for_the_tick_again_afterwards(self):
        worker = Worker(WorkerOptions(label="w", tick=TICK))
        self.addCleanup(worker.wakeup.close)
        simulated = Simulation([FIRST])

        with (
            mock.patch.object(worker_module, "time", simulated),
            mock.patch.object(hints, "time", simulated),
        ):
            simulated.run(worker)
            before = simulated.time
            waits = 0
            while simulated.time < before + TICK:
                worker.wait()
                waits += 1

        # Those while it is attentive, one more look, and the tick.
        self.assertLessEqual(waits, hints.ATTENTIVE_SECONDS / hints.CHECK_EVERY_SECONDS + 3)
