"""A task that is cut off in a query leaves its driver in mid-sentence: nobody else gets it."""

import signal
from unittest import skipIf

from django.db import connection

from tests.acceptance.processes import ProcessTests
from tests.app.tasks import query, session
from tests.support import wait_for


@skipIf(connection.vendor == "sqlite", "SQLite's queries run in the process")
class CutOffTests(ProcessTests):
    def test_over_its_timeout_in_a_query(self):
        for options, settings in (
            ((), {}),
            ((), {"atomic": True}),
            (("--threads=2",), {}),
            (("--threads=2",), {"atomic": True}),
        ):
            with self.subTest(options=options, **settings):
                worker = self.worker("--no_schedules", *options)
                before = self.session()
                row = self.queue_limited(query, self.ledger, 2, timeout=0.5, **settings)

                self.assertIn("TaskTimeout", self.wait_for_state(row, "FAILED").error)
                after = {self.session() for _ in range(4)}

                if not options:
                    self.assertNotIn(before, after)
                self.assertIsNone(worker.process.poll(), worker.log())
                self.assertNotIn("database lost", worker.log())
                worker.send(signal.SIGTERM)
                self.assertEqual(worker.wait(), 0)

    def session(self):
        return self.wait_for_state(session.queue(), "SUCCEEDED").result

    def test_stopped_in_a_query(self):
        worker = self.worker("--no_schedules", "--grace=0.2")
        row = query.queue(self.ledger, 2)
        wait_for(lambda: "asked" in self.lines())

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 77, worker.log())
        self.assertNotIn("Traceback", worker.log())
        self.assertEqual(self.wait_for_state(row, "INTERRUPTED").replaced_by.state, "QUEUED")
