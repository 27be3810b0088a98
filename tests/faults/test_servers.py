"""A real server that crashes, turns read-only, or stands behind a pooler, under real workers.

TOOSIMPLEQ_CRASHES says how often it crashes (3).
"""

import os
import signal
import time

import pytest
from django.db import OperationalError, connection, connections

from django_toosimple_q.models import TaskExec
from tests.app.models import Effect
from tests.app.tasks import atomic_twice, fail_once, ledger, sleep, unique
from tests.faults.private import (
    DATABASE,
    PgBouncer,
    PrivateServerTests,
    connected_to,
    pgbouncer,
)
from tests.support import wait_for

CRASHES = int(os.environ.get("TOOSIMPLEQ_CRASHES") or 3)
MOST_TRACEBACKS = 8
TIMEOUT_SECONDS = 2


class CrashTests(PrivateServerTests):
    def test_crash_restarts_under_load_lose_nothing_and_nobody(self):
        options = ("--no_schedules", f"--timeout={TIMEOUT_SECONDS}")
        workers = [self.worker(*options, f"--threads={threads}") for threads in (1, 1, 2, 3)]
        running = [sleep.queue(8, self.ledger, f"long-{n}") for n in range(3)]
        wait_for(lambda: sum(line.startswith("began long") for line in self.lines()) == 3)
        queued = []

        for crash in range(CRASHES):
            queued += self.queue_for(1)
            self.server.crash()
            # The second time it is away for longer than anybody's timeout.
            time.sleep(1.5 * TIMEOUT_SECONDS if crash == 1 else 0)
            self.server.start()
        connection.close()
        queued += self.queue_for(1)

        self.wait_until_drained(60)
        rows = TaskExec.objects.all()
        self.assertEqual([worker.process.poll() for worker in workers], [None] * 4)
        self.assertEqual(set(rows.values_list("state", flat=True)), {"SUCCEEDED"})
        self.assertEqual(rows.filter(root_id=None).count(), rows.count(), "nothing was replaced")
        for row in running:
            self.assertEqual(TaskExec.objects.get(pk=row.pk).attempt, 1)
        ran = [line for line in self.lines() if "long" not in line]
        self.assertEqual(len(ran), len(set(ran)), "nothing ran twice")
        self.assertLessEqual(set(queued), set(ran))
        logs = [worker.log() for worker in workers]
        self.assertLessEqual(sum(log.count("Traceback") for log in logs), MOST_TRACEBACKS, logs)

    def queue_for(self, seconds):
        """Queue calls one by one, and return the lines of those whose commit was answered."""
        queued = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line = f"line-{time.monotonic_ns()}"
            try:
                ledger.queue(self.ledger, line)
            except OperationalError:
                connection.close()
            else:
                queued.append(line)
            time.sleep(0.01)
        return queued

    def test_outcomes_wait_in_memory_and_an_atomic_task_is_replaced(self):
        worker = self.worker("--no_schedules", "--threads=3")
        plain = sleep.queue(2, self.ledger, "plain")
        atomic = atomic_twice.queue(self.ledger, 2)
        wait_for(lambda: len(self.lines()) == 2)

        self.server.crash()
        wait_for(lambda: "ended plain" in self.lines())
        wait_for(lambda: "database lost" in worker.log())
        self.server.start()
        connection.close()

        self.wait_until_drained()
        self.assertEqual(self.last_of(plain).attempt, 1)
        self.assertEqual(self.lines().count("began plain"), 1)
        first, last = TaskExec.objects.get(pk=atomic.pk), self.last_of(atomic)
        self.assertEqual((first.state, last.state, last.attempt), ("INTERRUPTED", "SUCCEEDED", 2))
        self.assertEqual(sorted(Effect.objects.values_list("key", flat=True)), ["first", "second"])
        log = worker.log()
        self.assertEqual(log.count("database lost"), 1, log)
        self.assertEqual(log.count("database back"), 1, log)


class StartTests(PrivateServerTests):
    def setUp(self):
        super().setUp()
        connection.close()
        self.server.crash()
        self.early = self.worker("--no_schedules", online=False)
        wait_for(lambda: "database lost" in self.early.log())

    def test_a_worker_that_starts_before_its_server_waits_for_it(self):
        self.server.start()
        row = ledger.queue(self.ledger, "hello")

        self.wait_for_state(row, "SUCCEEDED")
        log = self.early.log()
        self.assertEqual(log.count("WARNING"), 1, log)
        self.assertEqual(log.count("database back"), 1, log)
        self.assertNotIn("Traceback", log)

    def test_one_that_waits_for_its_server_can_be_stopped(self):
        self.addCleanup(self.server.start)

        self.early.send(signal.SIGTERM)

        self.assertEqual(self.early.wait(), 0)
        self.assertNotIn("Traceback", self.early.log())


@pytest.mark.skipif(not pgbouncer(), reason="pgbouncer is not installed")
class PoolerTests(PrivateServerTests):
    def test_a_pooler_by_transaction_costs_the_hints_and_one_warning(self):
        pooler = PgBouncer(self.server)
        self.addCleanup(pooler.end)
        pooler.start()
        self.enterContext(connected_to("127.0.0.1", pooler.port))
        worker = self.worker("--no_schedules", "--threads=2")

        rows = [ledger.queue(self.ledger, str(number)) for number in range(20)]
        rows += [atomic_twice.queue(self.ledger, 0), unique.queue("k"), unique.queue("k")]
        retried = fail_once.queue(f"{self.ledger} of attempts")

        for row in (*rows, retried):
            self.assertEqual(row.wait_done(20).state, "SUCCEEDED")
        self.assertEqual(self.last_of(retried).attempt, 2)
        self.assertEqual(sum(line.isdigit() for line in self.lines()), 20)
        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        log = worker.log()
        self.assertEqual(log.count("WARNING"), 2, log)
        self.assertEqual(log.count("pooler"), 1, log)
        self.assertNotIn("Traceback", log)


class ReadOnlyTests(PrivateServerTests):
    def test_while_it_takes_no_writes_nothing_is_done_and_afterwards_everything_is(self):
        worker = self.worker("--no_schedules", "--threads=2")
        running = sleep.queue(1.5, self.ledger, "running")
        atomic = atomic_twice.queue(self.ledger, 1)
        wait_for(lambda: len(self.lines()) == 2)
        self.make_read_only("on")
        self.addCleanup(self.make_read_only, "off")
        waiting = self.queue_all_the_same()

        wait_for(lambda: "ended running" in self.lines())
        wait_for(lambda: "refuses all writes" in worker.log())
        refused = self.rolled_back()
        wait_for(lambda: self.rolled_back() >= refused + 3)
        states = TaskExec.objects.order_by("pk").values_list("state", flat=True)
        self.assertEqual(list(states), ["PROCESSING", "PROCESSING", "QUEUED"])
        self.make_read_only("off")

        self.wait_until_drained()
        self.assertIsNone(worker.process.poll(), worker.log())
        self.assertEqual(self.last_of(running).attempt, 1)
        self.assertEqual({self.last_of(row).state for row in (running, waiting)}, {"SUCCEEDED"})
        self.assertEqual(self.last_of(atomic).state, "SUCCEEDED")
        self.assertEqual(Effect.objects.count(), 2)
        log = worker.log()
        self.assertEqual(log.count("ERROR"), 1, log)
        self.assertNotIn("Traceback", log)

    def rolled_back(self):
        """Return how many transactions have failed, as far as the server has counted."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT xact_rollback FROM pg_stat_database WHERE datname = %s", [DATABASE]
            )
            return cursor.fetchone()[0]

    def make_read_only(self, how):
        """Set what every session gets, and end those that have got it."""
        self.server.run(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = {how}")
        self.server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()"
        )
        connections.close_all()

    def queue_all_the_same(self):
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
        row = sleep.queue(0, self.ledger, "waiting")
        connection.close()
        return row
