"""Rows that a caller keeps locked: their worker waits for them, and lives."""

import time
from unittest import skipIf

from django.db import connection, transaction

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import session, sleep
from tests.faults.sessions import end_sessions
from tests.support import wait_for

TIMEOUT_SECONDS = 2


@skipIf(connection.vendor == "sqlite", "SQLite locks the file, and has no sessions")
class LockedRowTests(ProcessTests):
    def test_a_worker_that_waits_for_a_locked_row_does_not_count_as_dead(self):
        options = ("--no_schedules", f"--timeout={TIMEOUT_SECONDS}")
        worker = self.worker(*options, "--threads=2")
        short, long = sleep.queue(0.5, self.ledger, "short"), sleep.queue(6, self.ledger, "long")
        wait_for(lambda: len(self.lines()) == 2)
        self.worker(*options)

        with transaction.atomic():
            short.cancel()
            wait_for(lambda: "ended short" in self.lines())
            time.sleep(2 * TIMEOUT_SECONDS)

        self.wait_until_drained()
        self.assertEqual((self.last_of(short).attempt, self.last_of(long).state), (1, "SUCCEEDED"))
        self.assertEqual(TaskExec.objects.count(), 2, "nothing was replaced")
        self.assertIsNone(worker.process.poll(), worker.log())

    def test_waiting_inside_a_transaction_locks_nothing(self):
        self.worker("--no_schedules")
        row = sleep.queue(1, self.ledger, "awaited")

        with transaction.atomic(), self.assertWarns(RuntimeWarning):
            done = row.wait_done(timeout=10)

        self.assertEqual(done and done.state, "SUCCEEDED")

    def test_threads_whose_sessions_ended_while_they_were_idle_take_new_ones(self):
        worker = self.worker("--no_schedules", "--threads=3")
        for row in [session.queue() for _ in range(12)]:
            self.wait_for_state(row, "SUCCEEDED")

        end_sessions()
        wait_for(lambda: "database back" in worker.log())
        rows = [session.queue() for _ in range(12)]

        self.wait_until_drained()
        states = TaskExec.objects.filter(pk__in=[row.pk for row in rows])
        self.assertEqual(set(states.values_list("state", flat=True)), {"SUCCEEDED"})
