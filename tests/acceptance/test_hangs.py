"""Processes that do not run for a while: hung in C code, kept waiting by the database, paused."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial

from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.worker.registration import process_exists
from tests.acceptance.processes import ProcessTests, since
from tests.app.hazards import hold_the_lock
from tests.app.tasks import echo, pid, sleep
from tests.faults.sessions import locked_tables
from tests.support import wait_for

TIMEOUT = 2.5


class SlowProcessTests(ProcessTests):
    def start(self, *options):
        """Start a worker, or several under a supervisor, that counts as dead after 2.5 seconds."""
        before = self.incarnations()
        worker = self.worker("--no_schedules", f"--timeout={TIMEOUT}", *options, online=False)
        count = 2 if "--processes=2" in options else 1
        wait_for(lambda: len(self.incarnations() - before) == count)
        return worker

    def incarnations(self):
        living = WorkerStatus.objects.filter(stopped=None, rescued=None)
        return set(living.values_list("incarnation", flat=True))

    def began(self, task, *args):
        """Queue a call and return its row once it runs, and the id of the process it runs in."""
        row = task.queue(*args)
        wait_for(lambda: len(self.lines()) == 1)
        row.refresh_from_db()
        return row, row.worker.pid


class HangTests(SlowProcessTests):
    def test_a_worker_alone_ends_itself_before_its_row_may_be_rescued(self):
        worker = self.start()
        row, _ = self.began(hold_the_lock, 60, self.ledger)
        moment = time.monotonic()

        self.assertEqual(worker.wait(), -signal.SIGABRT)

        self.assertLess(since(moment), TIMEOUT)
        log = worker.log()
        self.assertIn(f"worker process hangs in C code and is killed: pid={worker.pid}", log)
        self.assertRegex(log, r"Fatal Python error: Aborted\n(.*\n)+.* in hold_the_lock\n")
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "PROCESSING")
        self.start()
        old = self.wait_for_state(row, "INTERRUPTED")
        self.assertEqual((old.crash_count, old.replaced_by.crash_count), (1, 1))

    def watcher_of(self, worker):
        """Return the id of the process that watches a worker on its own."""
        command = ["ps", "-o", "pid=", "--ppid", str(worker.pid)]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        return int(found[0]) if len(found) == 1 else None

    def test_one_whose_watcher_was_killed_is_watched_by_another(self):
        worker = self.start()
        killed = wait_for(lambda: self.watcher_of(worker))

        os.kill(killed, signal.SIGKILL)

        wait_for(lambda: self.watcher_of(worker) not in (None, killed))
        # It is not watched before it has shown a pulse.
        self.wait_for_state(sleep.queue(2 * TIMEOUT / 3, self.ledger, "a"), "SUCCEEDED")
        hold_the_lock.queue(60, self.ledger)
        self.assertEqual(worker.wait(), -signal.SIGABRT)

    def test_no_watcher_outlives_its_worker(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                worker = self.start()
                watcher = wait_for(partial(self.watcher_of, worker))

                worker.process.send_signal(number)

                worker.wait()
                wait_for(lambda pid=watcher: not process_exists(pid))

    def test_a_supervisor_ends_a_child_that_hangs(self):
        supervisor = self.start("--processes=2")
        row, hung = self.began(hold_the_lock, 60, self.ledger)
        moment = time.monotonic()

        row = self.wait_for_state(row, "INTERRUPTED")

        # Stale for the whole timeout, and then for two beats of another: nobody else did it.
        self.assertLess(since(moment), TIMEOUT * 4 / 3)
        self.assertEqual(row.error, "its worker died: exit code -6 (SIGABRT)")
        log = supervisor.log()
        self.assertIn(f"ERROR worker process hangs in C code and is killed: pid={hung}", log)
        self.assertRegex(log, r"Fatal Python error: Aborted\n(.*\n)+.* in hold_the_lock\n")

    def test_a_database_that_keeps_silent_ends_nobody(self):
        workers = [self.start(), self.start("--processes=2")]
        pids = set(WorkerStatus.objects.values_list("pid", flat=True))
        rows = sleep.queue_many([(2 * TIMEOUT, self.ledger, str(number)) for number in range(3)])
        wait_for(lambda: len(self.lines()) == 3)

        with locked_tables():
            time.sleep(TIMEOUT)  # no heartbeat comes through

        for row in rows:
            self.wait_for_state(row, "SUCCEEDED")
        self.assertEqual(len(self.lines()), 6)
        self.assertEqual(set(WorkerStatus.objects.values_list("pid", flat=True)), pids)
        self.assertEqual([worker.process.poll() for worker in workers], [None, None])


class PauseTests(SlowProcessTests):
    def pause(self, pid):
        """Stop a process while it holds no lock of the database, and see to it that it goes on."""
        with locked_tables():
            os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self.go_on, pid)

    def go_on(self, pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def test_an_idle_worker_that_was_declared_dead_registers_anew(self):
        worker = self.start("--label=paused", "--queue=mine")
        self.wait_for_state(echo.using(queue="mine").queue(1), "SUCCEEDED")
        before = WorkerStatus.objects.get(label="paused")
        self.start("--label=other", "--queue=other")
        self.pause(worker.pid)
        wait_for(lambda: WorkerStatus.objects.get(label="paused").rescued)

        self.go_on(worker.pid)

        row = self.wait_for_state(pid.using(queue="mine").queue(), "SUCCEEDED")
        self.assertEqual(row.result, worker.pid)
        after = WorkerStatus.objects.get(label="paused")
        self.assertNotEqual(after.incarnation, before.incarnation)
        self.assertEqual((after.pk, after.pid, after.state), (before.pk, worker.pid, "ONLINE"))

    def test_a_task_that_runs_elsewhere_by_now_is_cut_off_and_its_outcome_dropped(self):
        supervisor = self.start("--processes=2")
        row, paused = self.began(sleep, 20 * TIMEOUT, self.ledger, "a")
        self.pause(paused)
        old = self.wait_for_state(row, "INTERRUPTED")

        self.go_on(paused)

        wait_for(lambda: f"worker process died: pid={paused} exit_code=77" in supervisor.log())
        self.assertIn(
            f"WARNING outcome of task {row.pk} dropped: it was replaced by {old.replaced_by_id}",
            supervisor.log(),
        )
        self.wait_for_state(old.replaced_by, "PROCESSING")
        self.assertEqual((self.lines(), TaskExec.objects.count()), (["began a", "began a"], 2))

    def test_an_outcome_that_comes_too_late_is_dropped(self):
        supervisor = self.start("--processes=2")
        row, paused = self.began(sleep, 0.5, self.ledger, "a")
        self.pause(paused)
        old = self.wait_for_state(row, "INTERRUPTED")
        self.wait_for_state(old.replaced_by, "SUCCEEDED")

        self.go_on(paused)

        # It is over, or so nearly that it may be cut off before.
        told = f"WARNING outcome of task {row.pk} dropped: it was replaced by {old.replaced_by_id}"
        wait_for(lambda: told in supervisor.log())
        old.refresh_from_db()
        self.assertEqual((old.state, old.result), ("INTERRUPTED", None))
        self.wait_for_state(echo.queue(1), "SUCCEEDED")

    def test_a_worker_alone_whose_task_runs_elsewhere_by_now_ends(self):
        worker = self.start()
        row, _ = self.began(sleep, 60, self.ledger, "a")
        self.start()
        self.pause(worker.pid)
        old = self.wait_for_state(row, "INTERRUPTED")
        self.wait_for_state(old.replaced_by, "PROCESSING")

        self.go_on(worker.pid)

        self.assertEqual(worker.wait(), 77)
        self.assertEqual((self.lines(), TaskExec.objects.count()), (["began a", "began a"], 2))
