"""`manage.py queues` for people and for probes, and the system check that says the same."""

import json
import os
import pty
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from unittest import mock

from django.core import checks
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.test import TestCase
from django.utils import timezone, translation

from django_toosimple_q import health, queues
from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ROOT, ProcessTests, environment
from tests.app.tasks import count_up, echo
from tests.support import count_failures, isolate_registries, make_task, make_worker, wait_for


class QueuesTestCase(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task()

    def call(self, *args):
        out = StringIO()
        call_command("queues", *args, stdout=out)
        return out.getvalue()

    def check(self, *args):
        """Return the exit code and what is printed."""
        out, err = StringIO(), StringIO()
        code = 0
        try:
            call_command("queues", "--check", *args, stdout=out, stderr=err)
        except SystemExit as end:
            code = end.code
        return code, out.getvalue() + err.getvalue()

    def wait(self, seconds, queue="default"):
        row = self.task.using(queue=queue).queue()
        due = timezone.now() - timedelta(seconds=seconds)
        TaskExec.objects.filter(pk=row.pk).update(due=due)

    def worker(self, **fields):
        return make_worker(now=timezone.now(), **fields)


class ListTests(QueuesTestCase):
    def test_it_says_what_waits_that_nobody_takes_and_what_to_start(self):
        self.wait(725, "mail")
        self.worker(included_queues=["default"])

        shown = self.call()

        self.assertIn("mail     1 waiting, oldest 12 min, 0 running, no worker\n", shown)
        self.assertIn("default  0 waiting, 0 running, active, w\n", shown)
        self.assertIn('Nobody takes queue "mail": 1 waits, for 12 min.', shown)
        self.assertIn("Start `manage.py worker --queue mail`.", shown)

    def test_it_is_quiet_where_nothing_is_wrong(self):
        self.worker()
        self.worker(label="another")

        self.assertEqual(self.call(), "default  0 waiting, 0 running, active, 2 workers\n")

    def test_calls_that_run_are_listed_with_their_progress(self):
        row = self.task.queue()
        me = self.worker()
        TaskExec.objects.filter(pk=row.pk).update(
            state="PROCESSING",
            worker=me.worker_id,
            started=timezone.now() - timedelta(seconds=90),
            progress_done=3,
            progress_total=12,
            progress_message="to \x1bAnn",
        )

        self.assertIn(f"#{row.pk}  t  1 min  w  3 of 12: to \\x1bAnn\n", self.call())
        [running] = json.loads(self.call("--json"))["running"]
        self.assertEqual((running["id"], running["done"], running["worker"]), (row.pk, 3, "w"))

    def test_what_is_due_later_and_what_is_held_is_there_too(self):
        self.worker()
        self.task.using(due=timezone.now() + timedelta(minutes=20, seconds=30)).queue()
        self.task.using(due=timezone.now() + timedelta(hours=9)).queue()
        held = {"state": "INTERRUPTED", "hold": True, "started": timezone.now()}
        row = self.task.queue()
        TaskExec.objects.filter(pk=row.pk).update(**held, finished=timezone.now())

        shown = self.call()

        self.assertIn("2 due later, the next in 20 min\n1 held for a person\n", shown)
        self.assertNotIn("later", self.call("list", "default"))
        found = json.loads(self.call("--json"))
        self.assertEqual((found["scheduled"], found["held"]), (2, 1))

    def test_it_is_in_english_whatever_the_language_of_the_site(self):
        self.wait(725, "mail")

        with translation.override("de"):
            self.assertIn("Nobody takes queue", self.call())

    def test_names_choose(self):
        self.wait(1, "mail")

        self.assertNotIn("default", self.call("list", "mail"))
        with self.assertRaisesRegex(CommandError, "no queue 'mial'. Did you mean 'mail'"):
            self.call("list", "mial")

    def test_json_has_it_for_programs(self):
        self.wait(100, "mail")

        found = json.loads(self.call("--json"))

        [mail] = [queue for queue in found["queues"] if queue["name"] == "mail"]
        self.assertEqual((mail["waiting"], mail["workers"], mail["paused"]), (1, [], False))
        self.assertGreaterEqual(mail["oldest_wait_seconds"], 100)
        self.assertEqual(
            [problem["kind"] for problem in found["problems"]], ["no_worker", "unattended"]
        )
        self.assertEqual((found["workers"], found["failures_last_hour"]), ([], 0))

    def test_a_database_that_does_not_answer_is_a_sentence(self):
        with (
            mock.patch.object(health, "read", side_effect=DatabaseError("gone away")),
            self.assertRaisesRegex(CommandError, "the queue cannot be read: gone away"),
        ):
            self.call()


class ProbeTests(QueuesTestCase):
    def test_all_is_well(self):
        self.worker()
        self.wait(5)

        self.assertEqual(self.check("--max-wait=60", "--max-failures=0"), (0, "All is well.\n"))

    def test_no_living_worker_is_3(self):
        self.worker(stopped=timezone.now())

        code, text = self.check()

        self.assertEqual(
            (code, text),
            (3, "No worker is alive. Start `manage.py worker`.\n"),
        )

    def test_a_queue_that_no_worker_takes_is_3(self):
        self.worker(excluded_queues=["mail"])
        self.wait(5, "mail")

        code, text = self.check()

        self.assertEqual(code, 3)
        self.assertIn('Nobody takes queue "mail"', text)

    def test_a_call_that_waited_too_long_is_4(self):
        self.worker()
        self.wait(61)

        self.assertEqual(self.check("--max-wait=3600")[0], 0)
        code, text = self.check("--max-wait=60")

        self.assertEqual(code, 4)
        self.assertIn('Queue "default" is late: 1 waits, for 1 min.', text)

    def test_a_paused_queue_may_wait(self):
        self.worker()
        self.wait(61)
        queues.pause("default")

        self.assertEqual(self.check("--max-wait=60")[0], 0)

    def test_a_paused_queue_needs_no_worker(self):
        self.worker(excluded_queues=["mail"])
        self.wait(5, "mail")
        queues.pause("mail")

        self.assertEqual(self.check()[0], 0)

    def test_too_many_failures_are_5(self):
        self.worker()
        count_failures(2)

        self.assertEqual(self.check("--max-failures=2")[0], 0)
        code, text = self.check("--max-failures=1")

        self.assertEqual(code, 5)
        self.assertIn("2 calls failed for good in the last hour.", text)

    def test_the_most_severe_decides_and_all_are_named(self):
        self.wait(61)

        code, text = self.check("--max-wait=60")

        self.assertEqual((code, len(text.splitlines())), (3, 3))

    def test_json_says_the_same_and_exits_by_it(self):
        code, text = self.check("--json")

        self.assertEqual((code, json.loads(text)["problems"][0]["kind"]), (3, "no_worker"))

    def test_options_that_cannot_be_right_are_refused(self):
        for args, message in (
            (["--max-wait=3"], "need --check"),
            (["--check", "--max-wait=-3"], "0 or more"),
            (["--check", "--max-failures=1.5"], "0 or more"),
            (["--watch=0"], "0.1 or more"),
            (["--watch", "--check"], "not allowed with"),
        ):
            with self.subTest(args), self.assertRaisesRegex(CommandError, message):
                call_command("queues", *args, stdout=StringIO())


class SystemCheckTests(QueuesTestCase):
    def warnings(self):
        found = checks.run_checks(databases=["default"])
        return [one for one in found if one.id == "toosimpleq.W005"]

    def test_it_warns_of_what_waits_that_nobody_takes(self):
        self.wait(725, "mail")

        [warning] = self.warnings()

        self.assertIn('Nobody takes queue "mail": 1 waits, for 12 min.', warning.msg)
        self.assertEqual(warning.hint, "Start `manage.py worker --queue mail`.")

    def test_it_is_quiet_where_nothing_waits_or_a_worker_takes_it(self):
        self.assertEqual(self.warnings(), [])
        self.wait(725)
        self.worker()
        self.assertEqual(self.warnings(), [])

    def test_the_database_is_asked_only_where_it_is_checked(self):
        with self.assertNumQueries(0):
            self.assertFalse([one for one in checks.run_checks() if one.id == "toosimpleq.W005"])


class WatchTests(ProcessTests):
    def test_it_goes_on_and_follows(self):
        watching = subprocess.Popen(
            [sys.executable, "-m", "django", "queues", "--watch=0.1", "--json"],
            cwd=ROOT,
            env=environment(),
            stdout=(output := open(self.ledger, "w")),  # noqa: SIM115
        )
        self.addCleanup(output.close)
        self.addCleanup(watching.wait)
        self.addCleanup(watching.kill)
        written = Path(self.ledger)
        wait_for(lambda: '"waiting": 0' in written.read_text(), timeout=60)

        echo.queue()

        wait_for(lambda: '"waiting": 1' in written.read_text(), timeout=60)
        watching.send_signal(2)
        self.assertEqual(watching.wait(60), 0)

    def test_on_a_terminal_it_draws_in_place(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        watching = subprocess.Popen(
            [sys.executable, "-m", "django", "queues", "--watch=0.1"],
            cwd=ROOT,
            env={**environment(), "TERM": "xterm", "COLUMNS": "120"},
            stdout=theirs,
        )
        os.close(theirs)
        self.addCleanup(watching.wait)
        self.addCleanup(watching.kill)
        echo.queue()

        shown = ""
        while "default" not in shown or "No worker is alive" not in shown:
            shown += os.read(ours, 4096).decode()
        watching.send_signal(2)
        while "\x1b[?1049l" not in shown:  # the screen from before is back
            shown += os.read(ours, 4096).decode()

        self.assertEqual(watching.wait(60), 0)
        self.assertIn("\x1b[?1049h", shown)

    def test_progress_of_a_real_worker_is_listed(self):
        self.worker("--no_schedules")
        count_up.queue(self.ledger)

        def listed():
            out = StringIO()
            call_command("queues", stdout=out)
            return "1 of 3: one" in out.getvalue()

        wait_for(listed, timeout=60)
        Path(self.ledger).touch()
        self.wait_until_drained()
