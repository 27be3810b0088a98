import signal
import time

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ProcessTests, since
from tests.app.tasks import echo, held, sleep
from tests.support import wait_for


class StopTests(ProcessTests):
    def running(self, task, *args):
        row = task.queue(*args)
        wait_for(lambda: f"began {args[-1]}" in self.lines() or "began held" in self.lines())
        return row

    def test_an_idle_worker_stops_at_once_with_code_0(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            worker = self.worker(f"--label=w{number}")
            moment = time.monotonic()

            worker.send(number)

            self.assertEqual(worker.wait(), 0, worker.log())
            self.assertLess(since(moment), 3)
            row = WorkerStatus.objects.get(label=f"w{number}")
            self.assertEqual((row.state, row.exit_code, row.exit_log), ("STOPPED", 0, ""))

    def test_sigint_lets_what_runs_finish_and_claims_no_more(self):
        worker = self.worker()
        row = self.running(sleep, 1.5, self.ledger, "a")

        worker.send(signal.SIGINT)
        later = echo.queue()

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertEqual(self.lines(), ["began a", "ended a"])
        self.wait_for_state(row, "SUCCEEDED", timeout=1)
        self.wait_for_state(later, "QUEUED", timeout=1)

    def test_a_second_sigint_cuts_off_what_runs_and_replaces_it(self):
        worker = self.worker("--label=w")
        row = self.running(sleep, 30, self.ledger, "a")

        worker.send(signal.SIGINT)
        wait_for(lambda: f"waiting_for=app.sleep:{row.pk}" in worker.log())
        time_of_second = time.monotonic()
        worker.send(signal.SIGINT)

        self.assertEqual(worker.wait(), 77, worker.log())
        self.assertLess(since(time_of_second), 5)
        old = TaskExec.objects.get(pk=row.pk)
        self.assertEqual((old.state, old.replaced_by.state), ("INTERRUPTED", "QUEUED"))
        status = WorkerStatus.objects.get(label="w")
        self.assertEqual((status.state, status.exit_code), ("TERMINATED", 77))
        self.assertIn("KeyboardInterrupt", status.exit_log)

    def test_sigterm_lets_a_short_task_finish(self):
        worker = self.worker("--grace=10")
        row = self.running(sleep, 1, self.ledger, "a")

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.wait_for_state(row, "SUCCEEDED", timeout=1)

    def test_sigterm_cuts_off_a_long_task_after_the_grace(self):
        worker = self.worker("--grace=0.5")
        row = self.running(sleep, 30, self.ledger, "a")
        moment = time.monotonic()

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 77, worker.log())
        self.assertGreater(since(moment), 0.5)
        self.assertLess(since(moment), 2.5)
        old = TaskExec.objects.get(pk=row.pk)
        self.assertEqual((old.state, old.replaced_by.state), ("INTERRUPTED", "QUEUED"))
        self.assertIn("SIGTERM", old.error)
        self.assertFalse(TaskExec.objects.filter(state="PROCESSING").exists())

    def test_a_held_task_that_is_cut_off_waits_for_a_person(self):
        worker = self.worker("--grace=0")
        row = self.running(held, 30, self.ledger)

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 77, worker.log())
        old = TaskExec.objects.get(pk=row.pk)
        self.assertEqual((old.state, old.replaced_by), ("INTERRUPTED", None))

    def test_what_is_claimed_and_not_started_goes_back(self):
        echo.queue_many([(n,) for n in range(200)])
        blocker = sleep.using(priority=-1).queue(30, self.ledger, "a")
        rows = echo.using(priority=-2).queue_many([(n,) for n in range(20)])
        worker = self.worker("--grace=0.2")
        wait_for(lambda: "began a" in self.lines())

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 77, worker.log())
        self.assertEqual(TaskExec.objects.get(pk=blocker.pk).state, "INTERRUPTED")
        for row in rows:
            self.wait_for_state(row, "QUEUED", timeout=1)

    def test_a_long_task_keeps_no_row_from_an_idle_worker(self):
        first = self.worker()
        echo.queue_many([(n,) for n in range(500)])
        self.wait_until_drained()
        sleep.using(priority=1).queue(15, self.ledger, "a")
        rows = echo.queue_many([(n,) for n in range(50)])
        wait_for(lambda: "began a" in self.lines())

        self.worker()

        for row in rows:
            self.wait_for_state(row, "SUCCEEDED", timeout=12)
        self.assertEqual(self.lines(), ["began a"])
        self.assertIsNone(first.process.poll())


class LabelTests(ProcessTests):
    def test_a_label_of_a_living_worker_is_refused_with_code_99(self):
        self.worker("--label=w")

        second = self.worker("--label=w", online=False)

        self.assertEqual(second.wait(), 99)
        self.assertIn("label 'w' is held by process", second.log())
        self.assertNotIn("Traceback", second.log())

    def test_a_killed_worker_s_label_is_taken_over_at_once(self):
        first = self.worker("--label=w", "--timeout=600")
        row = sleep.queue(600, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())
        first.send(signal.SIGKILL)
        first.wait()

        self.worker("--label=w", "--timeout=600")

        old = self.wait_for_state(row, "INTERRUPTED")
        self.assertIsNotNone(old.replaced_by)
        wait_for(lambda: self.lines() == ["began a", "began a"])
