"""A worker that a container starts as its first process."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from django_toosimple_q.models import WorkerStatus
from tests.acceptance.processes import ProcessTests, children_of
from tests.app.hazards import leave_orphan
from tests.app.tasks import sleep
from tests.support import wait_for

# A pid namespace of its own, as a container has; needs root, or user namespaces.
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def can_contain():
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*CONTAINER, "true"], capture_output=True).returncode == 0


class FirstProcessTests(ProcessTests):
    def setUp(self):
        super().setUp()
        if not can_contain():
            self.skipTest("this system lets us make no pid namespace")

    def start(self, *options):
        """Start a worker as process 1; return it, and the id of that process as seen from here."""
        worker = self.worker("--no_schedules", *options, online=False, prefix=CONTAINER)
        wait_for(lambda: WorkerStatus.objects.filter(stopped=None).exists())
        [first] = children_of(worker.pid)
        return worker, first

    def test_orphans_are_reaped_and_the_children_of_tasks_are_not(self):
        for options in ((), ("--threads=2",), ("--processes=2",)):
            with self.subTest(options=options):
                worker, first = self.start(*options)
                rows = [leave_orphan.queue() for _ in range(3)]

                results = [self.wait_for_state(row, "SUCCEEDED").result for row in rows]

                self.assertEqual([code for code, _ in results], [3, 3, 3])
                # The process table of the container.
                table = Path(f"/proc/{first}/root/proc")
                for _, orphan in results:
                    wait_for((lambda entry: lambda: not entry.exists())(table / str(orphan)))
                os.kill(first, signal.SIGTERM)
                self.assertEqual(worker.wait(), 0, worker.log())
                WorkerStatus.objects.all().delete()

    def test_signals_reach_the_worker_and_its_exit_code_is_that_of_the_container(self):
        worker, first = self.start("--grace=0.5")
        row = sleep.queue(60, self.ledger, "long")
        wait_for(self.lines)

        os.kill(first, signal.SIGTERM)

        self.assertEqual(worker.wait(), 77, worker.log())
        self.wait_for_state(row, "INTERRUPTED")

    def test_an_interrupt_is_passed_on_once(self):
        worker, first = self.start()
        row = sleep.queue(2, self.ledger, "long")
        wait_for(self.lines)

        os.kill(first, signal.SIGINT)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.wait_for_state(row, "SUCCEEDED")

    def test_a_worker_that_is_killed_ends_the_container_with_its_signal(self):
        worker, first = self.start()
        [child] = children_of(first)

        os.kill(child, signal.SIGKILL)

        self.assertEqual(worker.wait(), 128 + signal.SIGKILL)

    def test_one_that_drains_ends_with_its_exit_code(self):
        worker = self.worker("--until_done", online=False, prefix=CONTAINER)

        self.assertEqual(worker.wait(), 0, worker.log())
