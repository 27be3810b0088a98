"""What several processes do at once: each row runs once, each occurrence is queued once."""

import itertools
import signal

from django_toosimple_q.models import ScheduleExec, TaskExec
from tests.acceptance.processes import ProcessTests, call_in_process
from tests.app.tasks import ledger, second, sleep
from tests.support import wait_for


class RaceTests(ProcessTests):
    def test_each_row_runs_once_however_many_workers_race(self):
        for number in range(400):
            ledger.queue(self.ledger, str(number))
        workers = [self.worker("--until_done", online=False) for _ in range(6)]

        for worker in workers:
            self.assertEqual(worker.wait(60), 0, worker.log())

        self.wait_until_drained()
        self.assertEqual(sorted(map(int, self.lines())), list(range(400)))

    def test_one_unique_call_waits_and_each_caller_is_followed_by_a_run(self):
        self.worker("--no_schedules")
        callers = [call_in_process(f"queue_unique(15, {self.ledger!r})") for _ in range(4)]

        waiting = 0
        while any(caller.poll() is None for caller in callers):
            rows = TaskExec.objects.filter(task_name="app.unique", state__in=["QUEUED", "SLEEPING"])
            waiting = max(waiting, rows.count())

        self.assertEqual([caller.returncode for caller in callers], [0] * 4)
        self.wait_until_drained()
        self.assertLessEqual(waiting, 1)
        # The last run began after the last caller's commit, so it saw what all of them wrote.
        self.assertEqual(max(int(line.split()[1]) for line in self.lines()), 60)

    def test_an_occurrence_is_queued_once_however_many_schedulers_race(self):
        workers = [self.worker("--queue=seconds") for _ in range(4)]

        wait_for(lambda: TaskExec.objects.filter(task_name="app.second").count() >= 6)
        for worker in workers:
            worker.send(signal.SIGINT)
        for worker in workers:
            self.assertEqual(worker.wait(), 0, worker.log())

        occurrences = [row.kwargs["at"] for row in TaskExec.objects.filter(task_name="app.second")]
        self.assertEqual(len(occurrences), len(set(occurrences)))
        occurrences.sort()
        steps = {(b - a).total_seconds() for a, b in itertools.pairwise(occurrences)}
        self.assertEqual(steps, {1.0})
        self.assertEqual(
            ScheduleExec.objects.get(name="app.every_second").last_due, occurrences[-1]
        )
        self.assertEqual(second(1), 1)

    def test_a_killed_worker_s_task_runs_elsewhere_within_its_timeout(self):
        first = self.worker("--no_schedules")
        # For longer than the other takes to start.
        row = sleep.queue(8, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())
        other = self.worker("--no_schedules")

        first.send(signal.SIGKILL)

        wait_for(lambda: self.lines().count("began a") == 2, timeout=10)
        self.wait_until_drained()
        self.assertEqual(self.last_of(row).state, "SUCCEEDED")
        self.assertIn("died; task", other.log())
