"""`manage.py enqueue`: a call from the command line, and what came of it."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ROOT, ProcessTests, environment
from tests.support import isolate_registries, make_task, wait_for


def call(*args):
    out = StringIO()
    call_command("enqueue", *args, stdout=out, stderr=StringIO())
    return out.getvalue()


class EnqueueTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task("greet", lambda name, loud=False, **more: None)

    def queued(self):
        return TaskExec.objects.get()

    def test_arguments_are_those_of_the_call(self):
        call("greet", "--args", '["Ann"]', "--kwargs", '{"loud": true, "due": "soon"}')

        row = self.queued()
        self.assertEqual((row.args, row.kwargs), (["Ann"], {"loud": True, "due": "soon"}))
        self.assertEqual((row.state, row.queue, row.priority), ("QUEUED", "default", 0))

    def test_queue_and_priority_may_be_others(self):
        call("greet", "--args", '["Ann"]', "--queue", "slow", "--priority", "-5")

        row = self.queued()
        self.assertEqual((row.queue, row.priority), ("slow", -5))

    def test_it_may_be_due_at_a_moment(self):
        call("greet", "--args", '["Ann"]', "--due", "2126-07-24 18:00")

        row = self.queued()
        self.assertEqual(row.state, "SLEEPING")
        # In the current time zone.
        self.assertEqual(row.due, datetime(2126, 7, 24, 16, 0, tzinfo=UTC))

    def test_it_may_be_due_in_a_while(self):
        units = {"+90": 90, "+90s": 90, "+2m": 120, "+2h": 7200, "+1d": 86400}
        for text, seconds in units.items():
            with self.subTest(text):
                TaskExec.objects.all().delete()
                before = timezone.now()

                call("greet", "--args", '["Ann"]', "--due", text)

                due = self.queued().due - timedelta(seconds=seconds)
                self.assertLessEqual(before, due)
                self.assertLessEqual(due, timezone.now())

    def test_what_cannot_be_right_is_refused_and_nothing_is_queued(self):
        wrong = {
            ("gret",): "no task 'gret'. Did you mean 'greet'",
            ("greet",): "cannot be called with these arguments.*Its signature is",
            ("greet", "--args", "[1, 2, 3]"): "too many positional arguments",
            ("greet", "--args", '{"a": 1}'): "expected a JSON list",
            ("greet", "--args", "[Ann]"): "is not JSON",
            ("greet", "--kwargs", "[1]"): "expected a JSON object",
            ("greet", "--kwargs", '{"nmae": 1}'): "missing a required argument",
            ("greet", "--args", "[1]", "--due", "tomorrow"): 'Use "2026-12-24 18:00"',
            ("greet", "--args", "[1]", "--due", "2026-02-31 18:00"): 'Use "2026-12-24 18:00"',
            ("greet", "--args", "[1]", "--due", "+9999999999d"): "Use a moment before 9998",
            ("greet", "--args", "[1]", "--due", "9999-01-01 00:00"): "years 1001 to 9998",
            ("greet", "--args", "[1]", "--queue", "a,b"): "without a comma",
            ("greet", "--args", "[1]", "--priority", "99999999999"): "priority cannot be",
            ("greet", "--args", "[1]", "--wait", "-1"): "0 or more",
            ("greet", "--args", "[1]", "--wait", "nan"): "0 or more",
        }
        for args, message in wrong.items():
            with self.subTest(args), self.assertRaisesRegex(CommandError, f"(?s){message}"):
                call(*args)

        self.assertEqual(TaskExec.objects.count(), 0)

    def test_json_tells_programs_the_id(self):
        told = json.loads(call("greet", "--args", '["Ann"]', "--json"))

        self.assertEqual((told["id"], told["state"]), (self.queued().pk, "QUEUED"))

    def test_ctrl_c_ends_the_wait_and_not_the_call(self):
        with (
            mock.patch("django_toosimple_q.waiting.wait_done", side_effect=KeyboardInterrupt),
            self.assertRaises(SystemExit) as ended,
        ):
            call("greet", "--args", '["Ann"]', "--wait")

        self.assertEqual((ended.exception.code, self.queued().state), (130, "QUEUED"))


class WaitTests(ProcessTests):
    """The command as its own process, beside a worker."""

    def enqueue(self, *args):
        return subprocess.run(
            [sys.executable, "-m", "django", "enqueue", *args],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_the_result_is_printed_and_the_exit_code_is_by_the_outcome(self):
        self.worker("--no_schedules")

        done = self.enqueue("app.echo", "--args", '[{"a": 1}]', "--wait", "40")

        self.assertEqual((done.returncode, done.stdout), (0, "{'a': 1}\n"), done.stderr)
        self.assertRegex(done.stderr, r"^#\d+ SUCCEEDED\n$")

    def test_what_it_prints_is_printed(self):
        self.worker("--no_schedules")

        done = self.enqueue("app.say", "--args", '["hello", "oh"]', "--wait", "40")

        self.assertEqual((done.returncode, done.stdout), (0, "hello\nNone\n"), done.stderr)
        self.assertRegex(done.stderr, r"^oh\n#\d+ SUCCEEDED\n$")

    def test_a_failure_is_printed_with_its_traceback(self):
        self.worker("--no_schedules")

        done = self.enqueue("app.ledger", "--args", '["/no/such/folder/x", ""]', "--wait", "40")

        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertRegex(done.stderr, r"(?s)Traceback.*FileNotFoundError.*#\d+ FAILED\n$")

    def test_retries_are_waited_for(self):
        self.worker("--no_schedules")

        done = self.enqueue(
            *("app.fail_once", "--args", json.dumps([self.ledger]), "--wait", "40", "--json")
        )

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["attempt"], 2)

    def test_one_that_is_cancelled_is_interrupted(self):
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "enqueue", "app.echo", "--due=+1h", "--wait", "60"],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        row = wait_for(TaskExec.objects.first)

        row.cancel()

        self.assertEqual(process.wait(60), 4)

    def test_the_time_may_run_out(self):
        done = self.enqueue("app.echo", "--wait", "0.2")

        self.assertEqual(done.returncode, 124)
        self.assertIn("has not ended after 0.2 s. No worker has taken it", done.stderr)
        self.assertEqual(TaskExec.objects.get().state, "QUEUED")

    def test_arguments_that_do_not_fit_end_with_1(self):
        done = self.enqueue("app.ledger", "--args", "[1]", "--wait", "40")

        self.assertEqual(done.returncode, 1)
        self.assertEqual(TaskExec.objects.count(), 0)
        self.assertIn("Its signature is", done.stderr)
