"""Sessions that are locked out, ended or chosen as victims, under real workers."""

import time

import pytest
from django.db import connection

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.models import Effect
from tests.app.tasks import atomic_twice, ledger, sleep
from tests.faults.sessions import end_sessions, locked_tables
from tests.support import wait_for

TIMEOUT_SECONDS = 3
has_sessions = pytest.mark.skipif(connection.vendor == "sqlite", reason="a file has no sessions")


class SilenceTests(ProcessTests):
    def test_a_database_that_is_locked_for_long_lets_nobody_count_as_dead(self):
        options = ("--no_schedules", f"--timeout={TIMEOUT_SECONDS}")
        workers = [self.worker(*options), self.worker(*options, "--threads=2")]
        long = [sleep.queue(3.5 * TIMEOUT_SECONDS, self.ledger, f"long-{n}") for n in range(3)]
        wait_for(lambda: len(self.lines()) == 3)

        with locked_tables():
            for worker in workers:
                wait_for(lambda worker=worker: "does not answer" in worker.log(), timeout=15)
        short = [ledger.queue(self.ledger, f"short-{n}") for n in range(5)]

        self.wait_until_drained()
        rows = TaskExec.objects.filter(pk__in=[row.pk for row in (*long, *short)])
        self.assertEqual({row.state for row in rows}, {"SUCCEEDED"})
        self.assertEqual(TaskExec.objects.count(), len(rows), "nothing was replaced")
        self.assertEqual(len(self.lines()), 2 * len(long) + len(short), "each ran once")
        for worker in workers:
            self.assertIsNone(worker.process.poll(), worker.log())
            self.assertNotIn("Traceback", worker.log())
            self.assertEqual(worker.log().count("does not answer"), 1, worker.log())
            wait_for(lambda worker=worker: "database back" in worker.log())


@has_sessions
class EndedSessionTests(ProcessTests):
    def test_tasks_run_on_and_their_outcomes_are_written_on_new_sessions(self):
        worker = self.worker("--no_schedules", "--threads=3")
        plain = [sleep.queue(1.5, self.ledger, f"plain-{n}") for n in range(2)]
        atomic = atomic_twice.queue(self.ledger, 1.5)
        wait_for(lambda: len(self.lines()) == 3)

        for _ in range(10):
            end_sessions()
            time.sleep(0.1)

        self.wait_until_drained()
        self.assertEqual({self.last_of(row).attempt for row in plain}, {1})
        self.assertEqual({self.last_of(row).state for row in plain}, {"SUCCEEDED"})
        first, last = TaskExec.objects.get(pk=atomic.pk), self.last_of(atomic)
        self.assertEqual((first.state, last.state, last.attempt), ("INTERRUPTED", "SUCCEEDED", 2))
        self.assertEqual(Effect.objects.count(), 2)
        self.assertIsNone(worker.process.poll(), worker.log())
        self.assertNotIn("Traceback", worker.log())

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="LISTEN is PostgreSQL's")
    def test_a_session_that_listened_is_opened_again_and_reported_once(self):
        worker = self.worker("--no_schedules", "--tick=30")
        self.wait_for_state(ledger.queue(self.ledger, "before"), "SUCCEEDED")

        wait_for(lambda: end_sessions("LISTEN%"))
        wait_for(lambda: "listening for hints again" in worker.log())
        row = ledger.queue(self.ledger, "after")

        self.wait_for_state(row, "SUCCEEDED", timeout=5)
        self.assertEqual(worker.log().count("hints lost"), 1, worker.log())
