"""The worker restarts when code changes, and its exit status is its own."""

import os
import signal

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ROOT, ProcessTests
from tests.app.tasks import sleep
from tests.support import wait_for


class AutoreloadTests(ProcessTests):
    def reloading(self, *options):
        """Start a worker that watches the code; its process is the child of ours."""
        worker = self.worker("--reload=always", "--no_schedules", *options, online=False)
        wait_for(self.alive)
        return worker

    def alive(self):
        return WorkerStatus.objects.filter(stopped=None, rescued=None).first()

    def test_a_change_restarts_it_and_what_ran_is_replaced(self):
        worker = self.reloading()
        first = self.alive()
        row = sleep.queue(60, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        wait_for(lambda: self.restarted(first), timeout=40, every=0.5)

        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "INTERRUPTED")
        wait_for(lambda: len(self.lines()) >= 2)
        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(), 77, worker.log())

    def restarted(self, first):
        # Touched again and again: a change before the watcher's first look is none.
        os.utime(ROOT / "tests" / "app" / "tasks.py")
        found = self.alive()
        return found and found.pid != first.pid

    def test_it_does_not_outlive_the_process_that_watches(self):
        worker = self.reloading()

        worker.send(signal.SIGKILL)
        worker.wait()

        wait_for(lambda: not self.alive())

    def test_its_exit_status_is_passed_on(self):
        worker = self.reloading()

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertIsNone(self.alive())
