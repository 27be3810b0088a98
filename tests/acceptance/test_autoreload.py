"""The worker restarts when code changes, and its exit status is its own."""

import os
import signal
from pathlib import Path

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ROOT, ProcessTests
from tests.app.tasks import sleep
from tests.support import wait_for


class ReloadingTests(ProcessTests):
    """With an app of the test's own: workers of other runs watch the files in tests/."""

    def setUp(self):
        super().setUp()
        self.project = Path(self.folder.name)
        (self.project / "saved").mkdir()
        (self.project / "saved" / "__init__.py").touch()
        self.code = self.project / "saved" / "tasks.py"
        self.code.write_text("")
        settings = "from tests.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'saved']\n"
        (self.project / "saving.py").write_text(settings)

    def reloading(self, *options):
        """Start a worker that watches the code; its process is the child of ours."""
        path = f"PYTHONPATH={ROOT}:{self.project}"
        worker = self.worker(
            *("--reload=always", "--no_schedules", *options),
            online=False,
            prefix=["env", "DJANGO_SETTINGS_MODULE=saving", path],
        )
        wait_for(self.alive)
        return worker

    def alive(self):
        return WorkerStatus.objects.filter(stopped=None, rescued=None).first()


class AutoreloadTests(ReloadingTests):
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
        os.utime(self.code)
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

    def test_a_sigint_to_the_process_that_watches_lets_what_runs_finish(self):
        worker = self.reloading()
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        worker.send(signal.SIGINT)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "SUCCEEDED")

    def test_a_second_one_cuts_it_off(self):
        worker = self.reloading()
        sleep.queue(60, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        worker.send(signal.SIGINT)
        wait_for(lambda: "worker stopping" in worker.log())
        worker.send(signal.SIGINT)

        self.assertEqual(worker.wait(), 77, worker.log())

    def test_a_terminal_s_ctrl_c_reaches_both_and_counts_once(self):
        worker = self.reloading()
        child = self.alive().pid
        row = sleep.queue(2, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        for process in (worker.pid, child):
            os.kill(process, signal.SIGINT)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "SUCCEEDED")

    def test_sighup_stops_it_with_grace(self):
        worker = self.reloading("--grace=20")
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        worker.send(signal.SIGHUP)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "SUCCEEDED")


class BrokenCodeTests(ReloadingTests):
    """Code that was saved half-way ends no worker for good."""

    def setUp(self):
        super().setUp()
        self.worker_that_reloads = self.reloading()

    def save(self, text, until):
        """Save code until a condition holds: before the watcher's first look nothing is noticed."""

        def saved():
            self.code.write_text(text)
            return until()

        wait_for(saved, timeout=40, every=1)

    def waits(self):
        return "waiting for the next change" in self.worker_that_reloads.log()

    def test_it_waits_for_the_next_change_and_comes_back(self):
        self.save("def broken(:\n", self.waits)
        self.assertIn("SyntaxError", self.worker_that_reloads.log())
        self.assertIsNone(self.worker_that_reloads.process.poll())

        task = "from django_toosimple_q.decorators import register_task\n"
        task += "@register_task(name='saved.new')\ndef new():\n    return 'new'\n"
        self.save(task, lambda: WorkerStatus.objects.filter(stopped=None).exists())

        row = TaskExec.objects.create(task_name="saved.new", args=[], kwargs={})
        self.assertEqual(self.wait_for_state(row, "SUCCEEDED").result, "new")

    def test_meanwhile_ctrl_c_stops_it(self):
        self.assert_stopped_by(signal.SIGINT)

    def test_meanwhile_sigterm_stops_it(self):
        self.assert_stopped_by(signal.SIGTERM)

    def assert_stopped_by(self, number):
        self.save("raise ValueError\n", self.waits)

        self.worker_that_reloads.send(number)

        # The second code is that of one that was stopped while it imported once more.
        self.assertIn(self.worker_that_reloads.wait(), (1, 77))
