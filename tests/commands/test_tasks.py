"""`manage.py tasks`: what the code defines, and what has failed for good."""

import json
from datetime import timedelta
from io import StringIO

from django.core.management import CommandError, call_command
from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from django_toosimple_q.testing import run_queued
from tests.support import isolate_registries, make_task


def call(*args):
    out = StringIO()
    call_command("tasks", *args, stdout=out)
    return out.getvalue()


def fails(*args):
    raise ValueError("no\x1b[31m luck")


class DefinitionTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_each_task_is_listed_with_its_queue_and_what_is_not_as_by_default(self):
        make_task("plain")
        make_task("send", queue="mail", retries=3, retry_for=(OSError,))

        self.assertEqual(
            call(),
            "plain  default\nsend   mail     retries=3, retry_for=['builtins.OSError']\n",
        )

    def test_schedules_stand_under_their_task_with_their_next_occurrence(self):
        @schedule_task(name="by hand", cron="manual")
        @schedule_task(name="daily", cron="30 8 * * *", timezone="America/New_York", args=[1])
        @register_task(name="report")
        def report(n=0):
            pass

        lines = call().splitlines()

        self.assertEqual(lines[0], "report  default")
        self.assertEqual(lines[1], "    by hand: manual (Europe/Paris), runs by hand only")
        self.assertRegex(
            lines[2],
            r"^    daily: 30 8 \* \* \* \(America/New_York\), next \S+T08:30:00-0[45]:00$",
        )

    def test_json_has_the_same_for_programs(self):
        @schedule_task(name="daily", cron="30 8 * * *", args=[timedelta(1)], kwargs={"b": 2})
        @register_task(name="report", unique=True)
        def report(a, b):
            pass

        [task] = json.loads(call("--json"))

        self.assertEqual(
            (task["name"], task["queue"], task["signature"], task["options"]),
            ("report", "default", "(a, b)", {"unique": True}),
        )
        [schedule] = task["schedules"]
        self.assertEqual(schedule["args"], ["datetime.timedelta(days=1)"])
        self.assertEqual((schedule["kwargs"], schedule["timezone"]), ({"b": 2}, "Europe/Paris"))

    def test_names_choose_and_one_that_is_unknown_is_refused_with_the_one_that_was_meant(self):
        make_task("plain")
        make_task("send")

        self.assertEqual(call("send"), "send  default\n")
        with self.assertRaisesRegex(CommandError, "no task 'snd'. Did you mean 'send'"):
            call("send", "snd")

    def test_a_project_without_tasks_learns_where_to_define_one(self):
        self.assertIn("Define one in tasks.py", call())
        self.assertEqual(json.loads(call("--json")), [])

    def test_nothing_of_the_database_is_read(self):
        make_task("plain")

        with self.assertNumQueries(0):
            call()


class FailureTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def fail(self, name, **options):
        row = make_task(name, fails, **options).queue()
        run_queued()
        return row

    def test_what_failed_for_good_is_listed_newest_first(self):
        first, second = self.fail("first"), self.fail("second", queue="mail")
        make_task("well").queue()
        run_queued()

        lines = call("--failed").splitlines()

        self.assertEqual(len(lines), 2)
        self.assertRegex(
            lines[0],
            rf"^#{second.pk}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  second  mail     ValueError: no\\",
        )
        self.assertTrue(lines[1].startswith(f"#{first.pk}"))
        self.assertNotIn("\x1b", "".join(lines))

    def test_one_that_is_retried_or_queued_again_is_none(self):
        self.fail("again", retries=1, retry_delay=1000)
        by_hand = self.fail("by_hand")
        by_hand.refresh_from_db()
        task_execs.requeue(by_hand, timezone.now())

        self.assertEqual(call("--failed"), "No call has failed for good.\n")

    def test_names_choose_also_those_that_the_code_has_no_more(self):
        gone, other = self.fail("gone"), self.fail("other")
        isolate_registries(self)

        self.assertEqual(
            [one["id"] for one in json.loads(call("gone", "--failed", "--json"))], [gone.pk]
        )
        self.assertIn(f"#{other.pk}", call("--failed"))

    def test_the_limit_is_kept_and_named(self):
        for name in "abc":
            self.fail(name)

        self.assertEqual(len(json.loads(call("--failed", "--limit=2", "--json"))), 2)
        self.assertIn("The last 2 are listed. Use --limit", call("--failed", "--limit=2"))
        for wrong in ("0", "-1", "many"):
            with self.subTest(wrong), self.assertRaisesRegex(CommandError, "1 or more"):
                call("--failed", f"--limit={wrong}")
        with self.assertRaisesRegex(CommandError, "--limit needs --failed"):
            call("--limit=2")

    def test_no_payload_and_no_traceback_is_read(self):
        self.fail("big")

        [row] = task_execs.failures([], 10)

        self.assertLessEqual(
            {"args", "kwargs", "result", "error", "stdout", "error_message"},
            row.get_deferred_fields(),
        )
        self.assertEqual(TaskExec.objects.count(), 1)
