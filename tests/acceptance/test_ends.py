"""How a worker ends: whatever tasks leave behind, and whichever signal asks for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from unittest import mock

from django.db import connection

from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.worker.registration import process_exists
from tests.acceptance.processes import ROOT, ProcessTests, children_of, environment, since
from tests.app.hazards import (
    exit_at_exit,
    interrupt,
    leave_pool,
    leave_process,
    leave_thread,
    signal_itself,
)
from tests.app.tasks import echo, pid, sleep
from tests.faults.sessions import locked_tables
from tests.support import wait_for


class LeftoverTests(ProcessTests):
    """What keeps an interpreter from ending keeps no worker."""

    def ran(self, task, *options):
        """Start a worker that has run a task; return it and the row."""
        row = task.queue()
        worker = self.worker("--no_schedules", "--grace=2", *options, verbosity=1)
        return worker, self.wait_for_state(row, "SUCCEEDED")

    def assert_ends(self, worker, name):
        self.assertEqual(worker.wait(15), 0, worker.log())
        self.assertRegex(
            worker.log(), rf"WARNING tasks left behind .* leftovers={name}.* seconds=[01]\.\d"
        )

    def test_a_thread_that_is_no_daemon(self):
        worker, _ = self.ran(leave_thread)

        worker.send(signal.SIGTERM)

        self.assert_ends(worker, "thread left-behind")

    def test_such_a_thread_after_max_tasks(self):
        leave_thread.queue()
        worker = self.worker("--no_schedules", "--max_tasks=1", "--grace=2", online=False)
        wait_for(lambda: TaskExec.objects.filter(state="SUCCEEDED").exists())

        self.assert_ends(worker, "thread left-behind")

    def test_a_child_of_multiprocessing_which_ends_with_it(self):
        worker, row = self.ran(leave_process)

        worker.send(signal.SIGTERM)

        self.assert_ends(worker, r"process left-child \(\d+\)")
        wait_for(lambda: not process_exists(row.result))

    def test_a_thread_that_ends_in_time_and_a_pool_of_idle_ones_are_no_leftovers(self):
        leave_thread.queue(0.2)
        worker, _ = self.ran(leave_pool)
        began = time.monotonic()

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(15), 0, worker.log())
        self.assertLess(since(began), 10)
        self.assertNotIn("left behind", worker.log())

    def test_under_a_supervisor_it_is_named_and_ends_at_once(self):
        row = leave_process.queue()
        leave_thread.queue()
        worker = self.worker("--no_schedules", "--processes=2", online=False)
        self.wait_until_drained()

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(15), 0, worker.log())
        self.assertIn("leftovers=thread left-behind", worker.log())
        row.refresh_from_db()
        wait_for(lambda: not process_exists(row.result))

    def test_a_function_of_atexit_that_exits_changes_no_exit_code(self):
        worker, _ = self.ran(exit_at_exit)

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(15), 0, worker.log())


class SignalTests(ProcessTests):
    """What would end a process at once stops a worker with grace."""

    def running(self, *options):
        worker = self.worker("--no_schedules", *options)
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())
        return worker, row

    def test_sighup_and_the_user_signals_let_what_runs_finish(self):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            with self.subTest(number=number):
                worker, row = self.running("--grace=20")

                worker.send(number)

                self.assertEqual(worker.wait(), 0, worker.log())
                self.assertIn(f"reason={number.name}, 20 s of grace", worker.log())
                self.wait_for_state(row, "SUCCEEDED", timeout=1)
                self.forget_lines()

    def test_sighup_cuts_off_after_the_grace(self):
        worker = self.worker("--grace=0.3", "--no_schedules")
        row = sleep.queue(60, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())

        worker.send(signal.SIGHUP)

        self.assertEqual(worker.wait(), 77, worker.log())
        self.wait_for_state(row, "INTERRUPTED", timeout=1)

    def test_sigquit_cuts_off_at_once(self):
        worker = self.worker("--grace=60", "--no_schedules")
        row = sleep.queue(60, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())

        worker.send(signal.SIGQUIT)

        self.assertEqual(worker.wait(), 77, worker.log())
        self.wait_for_state(row, "INTERRUPTED", timeout=1)

    def test_a_signal_that_is_ignored_stays_so(self):
        # nohup does this; what a terminal that closes sends then changes nothing.
        with mock.patch.object(subprocess, "Popen", self.without_hangup):
            worker, row = self.running()

        worker.send(signal.SIGHUP)

        self.wait_for_state(row, "SUCCEEDED")
        self.wait_for_state(echo.queue(), "SUCCEEDED")
        self.assertIsNone(worker.process.poll())

    def without_hangup(self, command, **settings):
        ignoring = (
            "import signal, os, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        return POPEN([sys.executable, "-c", ignoring, *command], **settings)

    def test_a_handler_of_faulthandler_is_kept(self):
        code = (
            "import faulthandler, signal; faulthandler.register(signal.SIGUSR1);"
            "from django_toosimple_q.worker.processes.shutdown import ours;"
            "print(*map(int, ours()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup(); {code}"],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertNotIn(str(int(signal.SIGUSR1)), done.stdout.split())
        self.assertIn(str(int(signal.SIGUSR2)), done.stdout.split())

    def test_a_task_that_signals_its_own_process_finishes_and_the_worker_stops(self):
        row = signal_itself.queue(int(signal.SIGTERM))
        worker = self.worker("--no_schedules", online=False)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.wait_for_state(row, "SUCCEEDED", timeout=1)

    def test_a_task_that_raises_keyboard_interrupt_has_failed_and_no_more(self):
        rows = [interrupt.queue(executed) for executed in (False, True)]
        after = echo.queue()
        worker = self.worker("--until_done", "--no_schedules", online=False)

        self.assertEqual(worker.wait(), 0, worker.log())
        for row in rows:
            self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "FAILED")
        self.wait_for_state(after, "SUCCEEDED", timeout=1)

    def test_ctrl_c_ends_a_drain_between_two_tasks(self):
        rows = [sleep.queue(1, self.ledger, "a"), sleep.queue(60, self.ledger, "b")]
        worker = self.worker("--until_done", "--no_schedules", online=False)
        wait_for(lambda: "began a" in self.lines())

        worker.send(signal.SIGINT)

        self.assertEqual(worker.wait(), 0, worker.log())
        states = [TaskExec.objects.get(pk=row.pk).state for row in rows]
        self.assertEqual(states, ["SUCCEEDED", "QUEUED"])


POPEN = subprocess.Popen


class SilentServerTests(ProcessTests):
    """A server that takes connections and never answers."""

    def setUp(self):
        super().setUp()
        if connection.vendor == "sqlite":
            self.skipTest("SQLite has no server")
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        port = str(self.server.getsockname()[1])
        self.enterContext(mock.patch.dict(os.environ, PGPORT=port, MYSQL_PORT=port))

    def test_sigterm_before_the_database_answers_ends_the_worker_within_the_grace(self):
        for options in ([], ["--processes=2"]):
            with self.subTest(options=options):
                worker = self.worker("--no_schedules", "--grace=1", *options, online=False)
                accepted, _ = self.server.accept()
                self.addCleanup(accepted.close)
                began = time.monotonic()

                worker.send(signal.SIGTERM)

                # Django's checks ask MariaDB for its version before the worker hears signals.
                ends = [0] if connection.vendor == "postgresql" else [0, -signal.SIGTERM]
                self.assertIn(worker.wait(15), ends, worker.log())
                self.assertLess(since(began), 6)
                self.forget_backlog()

    def test_a_worker_starts_though_nothing_listens_and_waits(self):
        self.server.close()
        for options in ([], ["--processes=2"]):
            with self.subTest(options=options):
                worker = self.worker("--no_schedules", "--grace=1", *options, online=False)
                wait_for(lambda: "database lost" in worker.log())  # noqa: B023

                worker.send(signal.SIGTERM)

                self.assertEqual(worker.wait(15), 0, worker.log())

    def forget_backlog(self):
        self.server.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                self.server.accept()[0].close()
        self.server.settimeout(None)


class RestartTests(ProcessTests):
    """SIGHUP to a supervisor: other children, with grace."""

    def children(self):
        return {one.pid for one in WorkerStatus.objects.filter(stopped=None, rescued=None)}

    def test_sighup_replaces_the_children_and_lets_what_runs_finish(self):
        supervisor = self.worker("--processes=2", "--no_schedules", "--grace=20", online=False)
        wait_for(lambda: len(self.children()) == 2)
        before = self.children()
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())

        supervisor.send(signal.SIGHUP)

        self.wait_for_state(row, "SUCCEEDED")
        wait_for(lambda: len(self.children()) == 2 and not self.children() & before)
        self.assertIn(self.wait_for_state(pid.queue(), "SUCCEEDED").result, self.children())
        self.assertNotIn("worker process died", supervisor.log())
        supervisor.send(signal.SIGTERM)
        self.assertEqual(supervisor.wait(), 0, supervisor.log())

    def test_a_child_that_does_not_end_in_time_is_cut_off_and_replaced(self):
        supervisor = self.worker("--processes=2", "--no_schedules", "--grace=0.2", online=False)
        wait_for(lambda: len(self.children()) == 2)
        before = self.children()
        row = sleep.queue(60, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())

        supervisor.send(signal.SIGHUP)

        self.wait_for_state(row, "INTERRUPTED")
        wait_for(lambda: self.lines().count("began a") == 2)
        wait_for(lambda: len(self.children()) == 2 and not self.children() & before)
        self.assertNotIn("worker process died", supervisor.log())

    def test_sigterm_during_crash_recovery_waits_for_it(self):
        supervisor = self.worker(
            "--processes=2", "--no_schedules", "--timeout=600", "--grace=0.2", online=False
        )
        wait_for(lambda: len(self.children()) == 2)
        row = sleep.queue(60, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())
        victim = TaskExec.objects.get(pk=row.pk).worker.pid
        with locked_tables():
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: len(children_of(supervisor.pid)) == 3)

            for process in (supervisor.pid, *children_of(supervisor.pid)):
                os.kill(process, signal.SIGTERM)

        self.assertEqual(supervisor.wait(), 77, supervisor.log())
        self.wait_for_state(row, "INTERRUPTED", timeout=1)
