"""Tasks that change their session, under real workers: nobody else notices."""

import signal

import pytest
from django.db import connection, transaction

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.models import Effect
from tests.app.sessions import (
    CLOSING,
    INSTALLED,
    LEFT_OPEN,
    change_the_driver,
    close,
    find_installed,
    install,
    read_a_part,
    report,
    tamper,
    tampering,
)
from tests.app.tasks import sleep
from tests.support import wait_for


class SessionTests(ProcessTests):
    def assert_nobody_notices(self, worker):
        fresh = self.wait_for_state(report.queue(), "SUCCEEDED").result
        with transaction.atomic():
            rows = [
                (kind, tamper.queue([kind], raw), report.queue())
                for kind in tampering()
                for raw in (False, True)
            ]
            rows.append(("driver", change_the_driver.queue(), report.queue()))

        wait_for(lambda: all(self.is_done(after) for _, _, after in rows), timeout=60)
        for kind, changing, after in rows:
            with self.subTest(kind):
                changing, after = self.last_of(changing), self.last_of(after)
                self.assertEqual((changing.attempt, after.attempt), (1, 1))
                if kind in LEFT_OPEN[connection.vendor]:
                    self.assertIn("it left a transaction open", changing.error)
                self.assertEqual((after.state, after.result), ("SUCCEEDED", fresh), after.error)
        self.assertIsNone(worker.process.poll(), worker.log())
        self.assertNotIn("database lost", worker.log())

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="what is installed lives in SQLite")
    def test_what_a_task_installs_on_its_connection_goes_with_it(self):
        worker = self.worker("--no_schedules")
        with transaction.atomic():
            rows = [(name, install.queue(name), find_installed.queue()) for name in INSTALLED]

        wait_for(lambda: all(self.is_done(after) for _, _, after in rows), timeout=60)

        for name, installing, after in rows:
            with self.subTest(name):
                installing, after = self.last_of(installing), self.last_of(after)
                self.assertEqual((installing.attempt, after.attempt), (1, 1))
                self.assertEqual((after.state, after.result), ("SUCCEEDED", []), after.error)
        self.assertIsNone(worker.process.poll(), worker.log())
        self.assertNotIn("database lost", worker.log())

    def test_a_session_that_was_closed_where_django_does_not_see_it_is_no_other_task_s(self):
        worker = self.worker("--no_schedules")
        for how in CLOSING:
            with self.subTest(how):
                with transaction.atomic():
                    rows = close.queue(how), report.queue()
                states = [self.wait_for_state(row, "SUCCEEDED").state for row in rows]
                self.assertEqual(states, ["SUCCEEDED"] * 2, worker.log())

    def test_rows_that_a_task_has_not_read_to_the_end_keep_nobody_from_writing(self):
        Effect.objects.bulk_create(Effect(key=str(number)) for number in range(300))
        for options in ((), ("--threads=2",)):
            for block in (False, True):
                with self.subTest(options=options, block=block):
                    worker = self.worker("--no_schedules", *options)
                    row = read_a_part.queue(block)
                    wait_for(lambda: self.is_done(row))  # noqa: B023

                    after = report.queue()

                    wait_for(lambda: self.is_done(after))  # noqa: B023
                    worker.send(signal.SIGTERM)
                    self.assertEqual(worker.wait(), 0, worker.log())
                    self.assertNotIn("database is busy", worker.log())

    def is_done(self, row):
        return self.last_of(row).state in TaskExec.States.done()

    def test_a_worker_goes_on_whatever_tasks_do_to_their_session(self):
        worker = self.worker("--no_schedules")

        self.assert_nobody_notices(worker)

        worker.send(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0, worker.log())

    def test_so_does_one_that_runs_tasks_in_threads(self):
        worker = self.worker("--no_schedules", "--threads=2")
        # The other thread has to do, so that each report follows in the same one.
        sleep.queue(600, self.ledger, "long")
        wait_for(self.lines)

        self.assert_nobody_notices(worker)
