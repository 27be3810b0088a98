"""Tasks that do not stop when they are told to: their rows are settled, their process ends."""

import signal
import time

from django.db.models import Sum

from django_toosimple_q.models import Minute, TaskExec, WorkerStatus
from tests.acceptance.processes import ProcessTests, since
from tests.app.models import Effect
from tests.app.tasks import (
    deaf,
    echo,
    fork,
    pid,
    sleep,
    stubborn,
    stubborn_atomic,
    terminate_child,
)
from tests.support import wait_for


class OverrunTests(ProcessTests):
    def settled(self, worker, row):
        """Wait for the end of the worker; return the row."""
        self.assertEqual(worker.wait(), 77, worker.log())
        self.assertFalse(TaskExec.objects.filter(state="PROCESSING").exists())
        return TaskExec.objects.get(pk=row.pk)

    def test_a_task_that_swallows_its_timeout_fails_and_its_process_ends(self):
        worker = self.worker("--label=w", "--no_schedules", "--grace=0.5")
        row = self.queue_limited(stubborn, 60, self.ledger, timeout=0.5, retries=1, retry_delay=60)

        row = self.settled(worker, row)

        self.assertEqual(row.state, "FAILED")
        self.assertIn(
            "TaskDidNotStop: the task exceeded its timeout of 0.5 s and did not stop within 0.5 s",
            row.error,
        )
        self.assertRegex(row.error, r"It was at:\n(.*\n)+.*tasks\.py.* in stubborn")
        self.assertIsNotNone(row.started)
        self.assertEqual((row.replaced_by.state, row.replaced_by.retries), ("SLEEPING", 0))
        self.assertEqual(self.lines(), ["began stubborn", "swallowed TaskTimeout"])
        log = worker.log()
        self.assertIn(f"ERROR task does not stop, so its process ends: task={row.pk}", log)
        self.assertIn("in stubborn", log.split("ERROR task does not stop")[1])
        status = WorkerStatus.objects.get(label="w")
        self.assertEqual((status.state, status.exit_code), ("TERMINATED", 77))
        # The figures have it too, though the process ended at once.
        ended = Minute.objects.aggregate(Sum("retried"), Sum("failures"))
        self.assertEqual(ended, {"retried__sum": 1, "failures__sum": 0})

    def test_a_task_that_hangs_in_c_code_fails_too(self):
        worker = self.worker("--no_schedules", "--grace=0")
        row = self.queue_limited(deaf, self.ledger, timeout=0.3)

        self.assertEqual(self.settled(worker, row).state, "FAILED")

    def test_in_a_thread_neighbours_get_the_grace_and_are_then_replaced(self):
        worker = self.worker("--no_schedules", "--threads=3", "--grace=1")
        long = sleep.queue(60, self.ledger, "long")
        wait_for(lambda: "began long" in self.lines())
        row = self.queue_limited(stubborn, 60, self.ledger, timeout=0.3)
        wait_for(lambda: "swallowed TaskTimeout" in self.lines())
        short = pid.queue(1)

        row = self.settled(worker, row)

        self.assertEqual(row.state, "FAILED")
        self.assertIn("in stubborn", row.error)
        long = TaskExec.objects.get(pk=long.pk)
        self.assertEqual((long.state, long.replaced_by.state), ("INTERRUPTED", "QUEUED"))
        self.assertEqual(TaskExec.objects.get(pk=short.pk).state, "SUCCEEDED")

    def test_what_a_stubborn_atomic_task_wrote_is_undone(self):
        worker = self.worker("--no_schedules", "--grace=0")
        row = self.queue_limited(stubborn_atomic, 60, self.ledger, timeout=0.3)

        row = self.settled(worker, row)

        self.assertEqual((row.state, Effect.objects.count()), ("FAILED", 0))

    def test_what_it_comes_back_with_is_dropped(self):
        worker = self.worker("--no_schedules", "--threads=2", "--grace=10")
        sleep.queue(4, self.ledger, "neighbour")
        wait_for(lambda: "began neighbour" in self.lines())
        row = self.queue_limited(stubborn, 2, self.ledger, timeout=0.3)

        row = self.settled(worker, row)

        self.assertEqual(self.lines()[-2:], ["ended stubborn", "ended neighbour"])
        self.assertEqual((row.state, row.result), ("FAILED", None))
        self.assertIn(f"outcome of task {row.pk} dropped", worker.log())

    def test_a_supervisor_replaces_the_process(self):
        supervisor = self.worker("--processes=2", "--no_schedules", "--grace=0", online=False)
        row = self.queue_limited(stubborn, 60, self.ledger, timeout=0.3)
        self.wait_for_state(row, "FAILED")

        wait_for(lambda: WorkerStatus.objects.filter(stopped=None).count() == 2)

        self.wait_for_state(echo.queue(1), "SUCCEEDED")
        self.assertIsNone(supervisor.process.poll())


class StubbornStopTests(ProcessTests):
    def stopped(self, worker, row, moment, seconds):
        self.assertEqual(worker.wait(), 77, worker.log())
        self.assertLess(since(moment), seconds)
        row = TaskExec.objects.get(pk=row.pk)
        self.assertEqual((row.state, row.replaced_by.state), ("INTERRUPTED", "QUEUED"))
        self.assertFalse(TaskExec.objects.filter(state="PROCESSING").exists())
        return row

    def test_sigterm_past_the_grace_takes_no_refusal(self):
        for task, args in ((stubborn, (60, self.ledger)), (deaf, (self.ledger,))):
            with self.subTest(task=task.__name__):
                worker = self.worker("--no_schedules", "--grace=0.5")
                row = task.queue(*args)
                wait_for(lambda task=task: f"began {task.__name__}" in self.lines())
                moment = time.monotonic()

                worker.send(signal.SIGTERM)

                row = self.stopped(worker, row, moment, 2.5)
                self.assertIn("SIGTERM, 0.5 s of grace; it did not stop", row.error)
                TaskExec.objects.all().delete()

    def test_a_second_sigint_takes_no_refusal(self):
        for task, args in ((stubborn, (60, self.ledger)), (deaf, (self.ledger,))):
            with self.subTest(task=task.__name__):
                worker = self.worker("--no_schedules", "--grace=30")
                row = task.queue(*args)
                wait_for(lambda task=task: f"began {task.__name__}" in self.lines())
                worker.send(signal.SIGINT)
                # Two at once would be one to the system.
                wait_for(lambda worker=worker: not worker.has_pending_signals())
                moment = time.monotonic()

                worker.send(signal.SIGINT)

                self.stopped(worker, row, moment, 2.5)
                TaskExec.objects.all().delete()

    def test_an_atomic_task_does_not_hold_the_database_up(self):
        worker = self.worker("--no_schedules", "--grace=0.3")
        row = stubborn_atomic.queue(60, self.ledger)
        wait_for(lambda: "began stubborn" in self.lines())
        moment = time.monotonic()

        worker.send(signal.SIGTERM)

        self.stopped(worker, row, moment, 2.5)
        self.assertEqual(Effect.objects.count(), 0)


class ForkTests(ProcessTests):
    def test_a_child_that_comes_back_ends_and_the_parent_s_outcome_counts(self):
        worker = self.worker("--no_schedules", "--threads=2")
        for raises in (False, True):
            row = fork.queue(self.ledger, raises)
            row = self.wait_for_state(row, "SUCCEEDED")
            self.assertEqual(row.result, "parent")

        self.assertEqual(self.lines(), ["child exited 70"] * 2)
        self.assertEqual(worker.log().count("CRITICAL task forked and returned"), 2)
        self.wait_for_state(echo.queue(1), "SUCCEEDED")

    def test_a_signal_to_a_child_is_not_taken_for_one_to_the_worker(self):
        worker = self.worker("--no_schedules")

        row = self.wait_for_state(terminate_child.queue(), "SUCCEEDED")

        self.assertEqual(row.result, -signal.SIGTERM)
        self.wait_for_state(echo.queue(1), "SUCCEEDED")
        self.assertNotIn("stopping", worker.log())
