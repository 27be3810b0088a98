"""Nineteen kinds of poison, each followed by an innocent call that must not notice."""

import signal

from django.db import transaction

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ProcessTests
from tests.app.hazards import innocent, poison, poisons
from tests.app.models import Effect
from tests.app.tasks import sleep
from tests.support import wait_for

CRASH_LIMIT = {"exits": "exit code 5", "segfaults": "exit code -11 (SIGSEGV)"}
# What is left of those that fail: a part of the error.
FAILING = {
    "recurses": "RecursionError",
    "takes_all_memory": "MemoryError",
    "returns_100_megabytes": "result of type builtins.bytes cannot be stored",
    "leaves_a_transaction_open": "left a transaction open",
    "switches_autocommit_off": "left a transaction open",
    "raises_system_exit": "SystemExit: 5",
    "raises_keyboard_interrupt": "KeyboardInterrupt",
}
# Python lets only the main thread have them.
FAILING_IN_THREADS = {**FAILING, "changes_signal_handlers": "ValueError: signal only works in main"}


class PoisonTests(ProcessTests):
    def run_all(self, kinds):
        """Queue each kind with an innocent call behind it; return the rows of both when done."""
        rows = {}
        for kind in kinds:
            with transaction.atomic():
                rows[kind] = poison.queue(kind), innocent.queue()
            wait_for(lambda kind=kind: all(map(self.is_done, rows[kind])), timeout=60)
        return {kind: [self.last_of(row) for row in pair] for kind, pair in rows.items()}

    def is_done(self, row):
        return self.last_of(row).state in TaskExec.States.done()

    def assert_survived(self, worker, kinds, failing):
        before = self.wait_for_state(innocent.queue(), "SUCCEEDED").result

        rows = self.run_all(kinds)

        for kind, (poisoned, after) in rows.items():
            with self.subTest(kind):
                self.assertEqual(poisoned.state, "FAILED" if kind in failing else "SUCCEEDED")
                self.assertIn(failing.get(kind, ""), poisoned.error or "")
                self.assertEqual((after.state, after.stdout), ("SUCCEEDED", "hello\n"), after.error)
                self.assertEqual(after.result, before)
        self.assertEqual(before[0], worker.pid)
        self.assertEqual(set(Effect.objects.values_list("key", flat=True)), {"innocent"})

    def test_a_worker_survives_seventeen_kinds_of_poison(self):
        # Packing 100 MB takes the interpreter's lock for a while.
        worker = self.worker("--no_schedules", "--timeout=60")

        kinds = [kind for kind in poisons if kind not in CRASH_LIMIT]
        self.assertEqual(len(kinds), 17)
        self.assert_survived(worker, kinds, FAILING)

        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.log())

    def test_a_worker_that_runs_tasks_in_threads_survives_them_too(self):
        worker = self.worker("--no_schedules", "--threads=2")
        # The other thread has to do, so that each innocent call follows in the same one.
        sleep.queue(600, self.ledger, "long")
        wait_for(self.lines)

        # What is too large is too large anywhere, and takes long to pack.
        kinds = [kind for kind in poisons if kind not in {*CRASH_LIMIT, "returns_100_megabytes"}]
        self.assert_survived(worker, kinds, FAILING_IN_THREADS)

    def test_two_more_kinds_end_the_process_three_times_at_most(self):
        supervisor = self.worker("--processes=2", "--no_schedules", "--timeout=600", online=False)
        wait_for(lambda: WorkerStatus.objects.count() == 2)
        with transaction.atomic():
            rows = {kind: (poison.queue(kind), innocent.queue()) for kind in CRASH_LIMIT}

        self.wait_until_drained()

        for kind, (poisoned, after) in rows.items():
            last = self.last_of(poisoned)
            error = f"its worker died 3 times: last {CRASH_LIMIT[kind]}"
            self.assertEqual((last.state, last.error, last.attempt), ("FAILED", error, 3))
            after = self.last_of(after)
            self.assertEqual((after.state, after.crash_count), ("SUCCEEDED", 0))
        wait_for(lambda: supervisor.log().count("worker process died") == 6)
