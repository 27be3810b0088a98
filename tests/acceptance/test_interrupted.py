"""A task that runs is told when it should come to an end, and may do so in good order."""

import signal

from tests.acceptance.processes import ProcessTests
from tests.app.tasks import until_interrupted
from tests.support import wait_for


class TellingTests(ProcessTests):
    def began(self):
        row = until_interrupted.queue(self.ledger)
        wait_for(lambda: self.lines() == ["began"])
        return row

    def test_that_it_was_cancelled(self):
        for options in ((), ("--threads=2",)):
            with self.subTest(options=options):
                worker = self.worker("--no_schedules", *options)
                row = self.began()

                row.cancel()

                self.assertEqual(self.wait_for_state(row, "SUCCEEDED").result, "told")
                worker.end()
                self.forget_lines()

    def test_that_its_worker_stops(self):
        for options in ((), ("--threads=2",)):
            with self.subTest(options=options):
                worker = self.worker("--no_schedules", "--grace=10", *options)
                row = self.began()

                worker.send(signal.SIGTERM)

                self.assertEqual(worker.wait(), 0, worker.log())
                self.assertEqual(self.wait_for_state(row, "SUCCEEDED", timeout=1).result, "told")
                self.forget_lines()
