"""What several processes do at once: each row runs once, each occurrence is queued once.

TOOSIMPLEQ_CALLERS and TOOSIMPLEQ_ROUNDS say how many processes queue the same call (4), and how
often each does (15).
"""

import itertools
import os
import signal

from django_toosimple_q.models import ScheduleExec, TaskExec
from tests.acceptance.processes import ProcessTests, call_in_process
from tests.app.tasks import ledger, second, sleep
from tests.support import wait_for

CALLERS = int(os.environ.get("TOOSIMPLEQ_CALLERS") or 4)
ROUNDS = int(os.environ.get("TOOSIMPLEQ_ROUNDS") or 15)


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
        call = f"queue_unique({ROUNDS}, {self.ledger!r})"
        callers = [call_in_process(call) for _ in range(CALLERS)]

        waiting = 0
        while any(caller.poll() is None for caller in callers):
            rows = TaskExec.objects.filter(task_name="app.unique", state__in=["QUEUED", "SLEEPING"])
            waiting = max(waiting, rows.count())

        self.assertEqual([caller.returncode for caller in callers], [0] * CALLERS)
        self.wait_until_drained()
        self.assertLessEqual(waiting, 1)
        # The last run began after the last caller's commit, so it saw what all of them wrote.
        seen = max(int(line.split()[1]) for line in self.lines())
        self.assertEqual(seen, CALLERS * ROUNDS)

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
