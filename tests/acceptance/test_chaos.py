"""Short storms: workers struck at random lose no call, and double no effect of an atomic task."""

from pathlib import Path

from tests.acceptance.processes import ProcessTests
from tests.chaos.storm import Plan, run_schedules, run_storm


class StormTests(ProcessTests):
    def account_for(self, **plan):
        account = run_storm(Plan(patience=60, exit_seconds=6, **plan), Path(self.folder.name))

        self.assertEqual(account.broken, [], f"\n{account}")
        self.assertGreater(account.figures["strikes"], 0)

    def test_workers_that_are_killed_lose_nothing(self):
        self.account_for(signal="KILL", seconds=6, tasks=600)

    def test_workers_that_are_terminated_lose_nothing_and_leave_nothing(self):
        self.account_for(signal="TERM", seconds=5, tasks=200)

    def test_workers_that_stand_still_and_go_on_change_nothing(self):
        self.account_for(signal="STOP", seconds=6, tasks=200, timeout=2)

    def test_a_schedule_by_the_second_misses_and_doubles_no_occurrence(self):
        account = run_schedules(Plan(seconds=6, every=1, workers=4, patience=60))

        self.assertEqual(account.broken, [], f"\n{account}")
        self.assertGreaterEqual(account.figures["occurrences"], 5)
