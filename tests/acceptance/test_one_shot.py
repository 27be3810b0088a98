"""Workers that drain and return are workers like others: they beat, hear, prune and rescue."""

import subprocess
import sys
import time
from datetime import timedelta

from django.utils import timezone

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ROOT, ProcessTests, environment
from tests.app.tasks import echo, sleep, stubborn, until_interrupted
from tests.support import wait_for

TIMEOUT = 2.0
# How code calls the command in a process of its own, where others may run as well.
CALL = """
import django; django.setup()
from django.core.management import call_command
call_command("worker", "{option}", "--timeout={timeout}", "--no_schedules")
"""


class OneShotTests(ProcessTests):
    def one_shot(self, option="--until_done", *more):
        return self.worker(option, f"--timeout={TIMEOUT}", "--no_schedules", *more, online=False)

    def called_by_code(self, option="--until_done"):
        code = CALL.format(option=option, timeout=TIMEOUT)
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment())
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def starts(self):
        return {
            "--until_done": lambda: self.one_shot().process,
            "--once": lambda: self.one_shot("--once").process,
            "by code": self.called_by_code,
        }

    def test_their_tasks_may_run_longer_than_the_timeout(self):
        rows = sleep.queue_many([(5 * TIMEOUT, self.ledger, name) for name in self.starts()])
        for number, start in enumerate(self.starts().values(), start=1):
            # One that came later would run what is left as well.
            start()
            wait_for(lambda number=number: len(self.lines()) == number)
        self.worker(f"--timeout={TIMEOUT}", "--no_schedules")

        for row in rows:
            self.wait_for_state(row, "SUCCEEDED", "INTERRUPTED", timeout=60)

        self.assertEqual(
            sorted(self.lines()), sorted(f"{did} {row.args[2]}" for row in rows for did in ENDS)
        )
        self.assertEqual({row.state for row in TaskExec.objects.all()}, {"SUCCEEDED"})

    def test_they_hear_that_a_call_was_cancelled(self):
        for name, start in self.starts().items():
            with self.subTest(name):
                row = until_interrupted.queue(self.ledger)
                process = start()
                wait_for(lambda: self.lines() == ["began"])

                row.cancel()

                self.assertEqual(self.wait_for_state(row, "SUCCEEDED").result, "told")
                self.assertEqual(process.wait(20), 0)
                self.forget_lines()

    def test_they_prune(self):
        for name, start in self.starts().items():
            with self.subTest(name):
                long_ago = timezone.now() - timedelta(days=60)
                old = TaskExec.objects.create(
                    task_name="t", state="SUCCEEDED", due=long_ago, finished=long_ago
                )

                self.assertEqual(start().wait(20), 0)

                self.assertFalse(TaskExec.objects.filter(pk=old.pk).exists())

    def test_they_rescue_what_a_dead_worker_left_and_run_it(self):
        for name, start in self.starts().items():
            if name == "--once":
                continue
            with self.subTest(name):
                row, dead = self.left_by_a_stale_worker()

                self.assertEqual(start().wait(40), 0)

                dead.refresh_from_db()
                self.assertIsNotNone(dead.rescued)
                self.assertEqual(self.last_of(row).state, "SUCCEEDED")

    def test_a_stale_heartbeat_alone_makes_nobody_dead(self):
        row, worker = self.left_by_a_stale_worker()
        one_shot = self.one_shot()
        wait_for(lambda: WorkerStatus.objects.filter(pid=one_shot.pid).exists())

        # As all of them do when the database was out of reach.
        WorkerStatus.objects.filter(pk=worker.pk).update(last_tick=timezone.now())

        self.assertEqual(one_shot.wait(40), 0, one_shot.log())
        worker.refresh_from_db()
        row.refresh_from_db()
        self.assertEqual((worker.rescued, row.state), (None, "PROCESSING"))

    def test_a_task_that_does_not_stop_is_ended_by_force(self):
        row = self.queue_limited(stubborn, 60, self.ledger, timeout=0.5)
        one_shot = self.one_shot()

        self.assertEqual(one_shot.wait(30), 77, one_shot.log())

        row.refresh_from_db()
        self.assertEqual(row.state, "FAILED")
        self.assertIn("did not stop within 0.5 s", row.error)

    def left_by_a_stale_worker(self):
        """Return a row that runs, and its worker, on a host of its own, with an old heartbeat."""
        row = echo.queue("again")
        worker = WorkerStatus.objects.create(
            label=f"far-{time.monotonic()}",
            incarnation="far",
            host="far",
            host_id="far",
            pid=1,
            timeout=timedelta(seconds=TIMEOUT),
            last_tick=timezone.now() - timedelta(hours=1),
        )
        TaskExec.objects.filter(pk=row.pk).update(state="PROCESSING", worker=worker)
        return row, worker


ENDS = ("began", "ended")
