"""A database that answers and takes no writes: nothing is lost, nothing is done, one line tells."""

import logging
import os
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.test import TransactionTestCase

from django_toosimple_q.store.transaction import is_refusal
from django_toosimple_q.worker import outage
from tests.faults.sessions import opened_with
from tests.faults.world import Member
from tests.support import isolate_registries, make_task, states, wait_for

READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET default_transaction_read_only = on",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}


class RefusalTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.runs = []
        self.addCleanup(connection.close)
        self.member = Member("w")
        self.member.step()

    def run_until_idle(self):
        while self.member.step():
            pass

    def test_outcomes_and_waiting_calls_wait_until_it_is_writable_again(self):
        task = make_task(func=lambda n: self.runs.append(n))
        task.queue(1)
        self.member.step()
        task.queue(2)

        with opened_with(READ_ONLY[connection.vendor]), self.assertLogs("toosimpleq", 20) as logs:
            for _ in range(5):
                self.member.step()
                self.member.beat()
            self.assertEqual(states(), ["PROCESSING", "QUEUED"])
        self.run_until_idle()

        self.assertEqual((states(), self.runs), (["SUCCEEDED"] * 2, [1, 2]))
        [told] = [record for record in logs.records if record.levelno >= logging.WARNING]
        self.assertEqual(told.levelno, logging.ERROR)
        self.assertIn("refuses all writes, outcomes wait", told.getMessage())

    def test_it_is_reported_again_after_a_minute(self):
        make_task().queue()
        reported = []

        with opened_with(READ_ONLY[connection.vendor]), mock.patch.object(outage, "time") as clock:
            for seconds in (1, 30, 60, 61, 90, 130):
                clock.monotonic.return_value = float(seconds)
                with self.assertLogs("toosimpleq", "DEBUG") as logs:
                    logging.getLogger("toosimpleq").debug("step")
                    self.member.step()
                if any("refuses all writes" in line for line in logs.output):
                    reported.append(seconds)

        self.assertEqual(reported, [1, 61, 130])

    def test_an_atomic_task_is_not_failed_by_it(self):
        make_task(func=lambda: self.runs.append(1), atomic=True).queue()
        runner = self.member.worker.runner
        with mock.patch.object(runner, "work"):
            self.member.step()

        with opened_with(READ_ONLY[connection.vendor]):
            runner.work(lambda: True)
            self.member.step()
            self.assertEqual(states(), ["PROCESSING"])
        # It runs again after a short pause.
        wait_for(lambda: self.run_until_idle() or states() == ["INTERRUPTED", "SUCCEEDED"])

    def test_a_full_disk_is_a_refusal(self):
        self.assertTrue(is_refusal(disk_is_full(connection.vendor)))

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="this cap is SQLite's")
    def test_a_full_disk_keeps_outcomes_waiting(self):
        make_task(func=lambda: self.runs.append(1) or os.urandom(500_000)).queue()
        with connection.cursor() as cursor:
            # Else there is room where earlier tests have deleted rows.
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA page_count")
            [pages] = cursor.fetchone()

        with (
            opened_with(f"PRAGMA max_page_count = {pages}"),
            self.assertLogs("toosimpleq", "ERROR") as logs,
        ):
            for _ in range(4):
                self.member.step()
            self.assertEqual(states(), ["PROCESSING"])
        self.run_until_idle()

        self.assertEqual((states(), self.runs), (["SUCCEEDED"], [1]))
        self.assertIn("disk is full", logs.output[0])


def disk_is_full(vendor):
    """Return the error by which a database tells it."""
    if vendor == "mysql":
        return OperationalError(1021, "Disk full")
    error = OperationalError("database or disk is full")
    if vendor == "postgresql":
        from psycopg.errors import DiskFull

        error.__cause__ = DiskFull()
    return error
