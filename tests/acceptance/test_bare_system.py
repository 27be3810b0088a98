"""A site and its worker on a system that has no SIGALRM, no fork, no poll: as Windows is."""

import json
import signal
import subprocess
import sys
import time

from django.contrib.auth.models import User

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ROOT, ProcessTests, environment, since
from tests.app.tasks import echo, ledger, pid, sleep, stubborn
from tests.support import wait_for

BARE = "tests.acceptance.bare"
# What a web process does: it starts, checks, queues, shows the admin, and waits for a result.
SITE = f"""
import {BARE}, json, sys
import django
django.setup()
from django.core.management import call_command
from django.test import Client
from django.contrib.auth.models import User
import django_toosimple_q.testing, django_toosimple_q.contrib.celery
from tests.app.tasks import echo

call_command("check")
client = Client()
client.force_login(User.objects.get(username="admin"))
pages = ["taskexec", "scheduleexec", "workerstatus", "queuestatus"]
seen = [client.get(f"/admin/toosimpleq/{{page}}/").status_code for page in pages]
row = echo.queue("from a site")
seen.append(client.get(f"/admin/toosimpleq/taskexec/{{row.pk}}/change/").status_code)
workers = [name for name in sys.modules if name.startswith("django_toosimple_q.worker")]
done = row.wait_done(20)
print(json.dumps([seen, workers, done.state, done.result]))
"""


class BareTests(ProcessTests):
    def bare_worker(self, *options, **settings):
        return self.worker(*options, module=BARE, **settings)

    def ended(self, *options):
        """Return exit code and log of a worker that ends by itself."""
        worker = self.bare_worker(*options, online=False)
        return worker.wait(), worker.log()


class SiteTests(BareTests):
    def test_a_site_checks_queues_shows_its_admin_and_waits(self):
        User.objects.create_superuser("admin", password="x")
        self.bare_worker("--no_schedules")

        found = subprocess.run(
            [sys.executable, "-c", SITE],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        self.assertEqual(found.returncode, 0, found.stderr)
        seen, workers, state, result = json.loads(found.stdout.splitlines()[-1])
        self.assertEqual(seen, [200] * 5)
        self.assertEqual(workers, [])
        self.assertEqual((state, result), ("SUCCEEDED", "from a site"))


class WorkerTests(BareTests):
    def test_what_waits_is_drained(self):
        row = echo.queue(1)

        code, log = self.ended("--until_done", "--no_schedules")

        self.assertEqual(code, 0, log)
        self.wait_for_state(row, "SUCCEEDED", timeout=1)
        self.assertIn("tasks run without their timeouts", log)

    def test_a_worker_says_once_what_it_cannot_do(self):
        worker = self.bare_worker()

        wait_for(lambda: "worker started" in worker.log())

        self.assertEqual(worker.log().count("on this system tasks run in threads"), 1)

    def test_a_timeout_cuts_off_a_task_and_the_worker_goes_on(self):
        worker = self.bare_worker("--no_schedules")
        row = self.queue_limited(sleep, 60, self.ledger, "a", timeout=0.3)

        self.wait_for_state(row, "FAILED")
        last = echo.queue()

        self.wait_for_state(last, "SUCCEEDED")
        self.assertIn("TaskTimeout", TaskExec.objects.get(pk=row.pk).error)
        self.assertIsNone(worker.process.poll())

    def test_a_task_that_does_not_stop_is_failed_and_its_worker_ends(self):
        worker = self.bare_worker("--no_schedules", "--grace=0.5")
        row = self.queue_limited(stubborn, 60, self.ledger, timeout=0.3)

        self.assertEqual(worker.wait(), 77, worker.log())

        self.assertIn("TaskDidNotStop", TaskExec.objects.get(pk=row.pk).error)

    def test_it_runs_several_tasks_at_a_time(self):
        self.bare_worker("--no_schedules", "--threads=2")
        rows = [sleep.queue(60, self.ledger, line) for line in "ab"]

        wait_for(lambda: len(self.lines()) == 2)

        for row in rows:
            self.wait_for_state(row, "PROCESSING", timeout=1)

    def test_sigint_lets_what_runs_finish(self):
        worker = self.bare_worker("--no_schedules")
        row = sleep.queue(1, self.ledger, "a")
        wait_for(self.lines)

        worker.send(signal.SIGINT)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.wait_for_state(row, "SUCCEEDED", timeout=1)

    def test_what_ends_a_worker_cuts_off_a_long_task_after_the_grace(self):
        # SIGUSR1 stands for the SIGBREAK of Windows.
        for number in (signal.SIGTERM, signal.SIGUSR1):
            with self.subTest(number=number):
                worker = self.bare_worker("--no_schedules", "--grace=0.5", f"--label=w{number}")
                row = sleep.queue(60, self.ledger, str(number))
                wait_for(lambda number=number: f"began {number}" in self.lines())

                worker.send(number)

                self.assertEqual(worker.wait(), 77, worker.log())
                self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "INTERRUPTED")
                TaskExec.objects.filter(state="QUEUED").delete()

    def test_an_idle_worker_stops_at_once(self):
        worker = self.bare_worker("--no_schedules", "--tick=60", "--timeout=60")
        moment = time.monotonic()

        worker.send(signal.SIGINT)

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertLess(since(moment), 10)

    def test_a_killed_worker_is_dead_after_its_timeout_and_no_process_is_asked_for(self):
        killed = self.bare_worker("--no_schedules", "--timeout=1", "--label=killed")
        row = sleep.queue(60, self.ledger, "a")
        wait_for(self.lines)
        killed.send(signal.SIGKILL)
        killed.wait()
        TaskExec.objects.filter(pk=row.pk).update(queue="elsewhere")

        # The test would see it: there, asking for a process with signal 0 is an error.
        other = self.bare_worker("--no_schedules", "--timeout=1", "--exclude_queue=elsewhere")

        self.wait_for_state(row, "INTERRUPTED")
        self.assertIsNone(other.process.poll(), other.log())
        self.assertEqual(set(WorkerStatus.objects.values_list("host_id", flat=True)), {""})

    def test_what_this_system_cannot_do_is_refused_with_the_cure(self):
        for option, cure in (
            ("--processes=2", "Use --threads"),
            ("--max_memory=300", "--max_task"),
        ):
            with self.subTest(option=option):
                code, log = self.ended(option)

                self.assertEqual(code, 99)
                self.assertIn(option.partition("=")[0], log)
                self.assertIn(cure, log)
                self.assertNotIn("Traceback", log)

    def test_a_process_ends_after_so_many_tasks(self):
        worker = self.bare_worker("--no_schedules", "--max_tasks=1")
        ledger.queue(self.ledger, "a")

        self.assertEqual(worker.wait(), 0, worker.log())
        self.assertEqual(self.lines(), ["a"])

    def test_it_watches_the_code_and_passes_a_stop_on(self):
        worker = self.bare_worker("--no_schedules", "--reload=always", online=False)
        row = pid.queue()

        self.wait_for_state(row, "SUCCEEDED")
        self.assertNotEqual(TaskExec.objects.get(pk=row.pk).result, worker.pid)
        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 0, worker.log())
