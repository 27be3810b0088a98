"""Check-ins with the cron monitors of Sentry, for what schedules queue."""

import contextvars
from datetime import timedelta
from unittest import TestCase, mock

import sentry_sdk
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase
from django.test.utils import CaptureQueriesContext
from sentry_sdk.transport import Transport

from django_toosimple_q.contrib.sentry import check_ins, monitors
from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs
from tests.support import NOW, claimed, isolate_registries, make_task


class ToList(Transport):
    sent = []

    def capture_envelope(self, envelope):
        self.sent.extend(one.payload.json for one in envelope.items if one.type == "check_in")


def make_schedule(name="s", cron="*/5 * * * *", task=None, **options):
    schedule_task(name=name, cron=cron, **options)(task or make_task())
    return schedules_registry[name]


class CheckInTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        ToList.sent.clear()
        client = sentry_sdk.Client(
            dsn="https://key@localhost/1", transport=ToList, default_integrations=False
        )
        scope = sentry_sdk.get_global_scope()
        before = scope.client
        scope.set_client(client)
        self.addCleanup(scope.set_client, before)
        check_ins.connect()
        self.addCleanup(check_ins.disconnect)

    def advance(self, *names):
        """Queue the call of an occurrence of each schedule."""
        last = NOW - timedelta(minutes=5)
        for name in names:
            ScheduleExec.objects.create(name=name, last_due=last)
        due = [schedule_execs.DueSchedule(schedules_registry[name], last, [NOW]) for name in names]
        schedule_execs.advance(due, NOW)

    def drain(self):
        call_command("worker", "--until_done", "--no_schedules", "-v0")
        return [(one["monitor_slug"], one["status"]) for one in ToList.sent]

    def test_a_run_checks_in_when_it_begins_and_when_it_has_ended(self):
        make_schedule("shop.report")
        self.advance("shop.report")

        self.assertEqual(self.drain(), [("shop-report", "in_progress"), ("shop-report", "ok")])
        first, last = ToList.sent
        self.assertEqual(first["check_in_id"], last["check_in_id"])
        self.assertEqual(
            first["monitor_config"],
            {
                "schedule": {"type": "crontab", "value": "*/5 * * * *"},
                "timezone": "Europe/Paris",
                "checkin_margin": 5,
            },
        )

    def test_a_failure_checks_in_as_an_error_once_no_attempt_is_left(self):
        make_schedule(task=make_task(func=lambda: 1 / 0, retries=2))
        self.advance("s")

        self.assertEqual(self.drain(), [("s", "in_progress"), ("s", "error")])
        self.assertEqual(TaskExec.objects.count(), 3)
        self.assertEqual(len({one["check_in_id"] for one in ToList.sent}), 1)

    def test_a_retry_that_succeeds_checks_in_as_a_success(self):
        tries = []

        def work():
            tries.append(1)
            if len(tries) == 1:
                raise ValueError

        make_schedule(task=make_task(func=work, retries=1))
        self.advance("s")

        self.assertEqual(self.drain(), [("s", "in_progress"), ("s", "ok")])

    def test_a_run_that_is_cut_off_and_follows_again_has_not_ended(self):
        schedule = make_schedule()
        self.addCleanup(check_ins.monitored.reset, check_ins.monitored.set(schedule))

        check_ins.end(claimed(), Outcome("INTERRUPTED", replaced=True))
        self.assertEqual(ToList.sent, [])

        check_ins.end(claimed(), Outcome("INTERRUPTED"))
        self.assertEqual(ToList.sent[0]["status"], "error")

    def test_the_end_of_a_run_that_does_not_stop_is_reported_by_another_thread(self):
        make_schedule()
        self.advance("s")
        row = TaskExec.objects.get()
        running = claimed(row.task_name, pk=row.pk)
        contextvars.copy_context().run(check_ins.begin, running)

        check_ins.end(running, Outcome("FAILED"))

        self.assertEqual([one["status"] for one in ToList.sent], ["in_progress", "error"])

    def test_each_of_two_schedules_of_a_task_has_its_monitor(self):
        task = make_task()
        make_schedule("one", task=task)
        make_schedule("two", task=task)
        self.advance("two")

        self.assertEqual({slug for slug, _ in self.drain()}, {"two"})

    def test_other_calls_of_the_task_do_not_check_in(self):
        schedule = make_schedule()
        self.advance("s")
        self.drain()
        ToList.sent.clear()

        schedule.task.queue()

        self.assertEqual(self.drain(), [])

    def test_run_now_checks_in(self):
        schedule = make_schedule()
        self.advance("s")
        self.drain()
        ToList.sent.clear()

        schedule_execs.force(schedule, NOW)

        self.assertEqual(self.drain(), [("s", "in_progress"), ("s", "ok")])

    def test_what_sentry_cannot_expect_does_not_check_in(self):
        make_schedule(cron="H * * * *")
        self.advance("s")

        self.assertEqual(self.drain(), [])

    def test_tasks_without_a_schedule_ask_the_database_nothing(self):
        make_schedule(task=make_task("other"))
        make_task().queue()

        with CaptureQueriesContext(connection) as found:
            self.drain()

        self.assertEqual([one for one in found if "recent" in one["sql"]], [])

    def test_without_sentry_nothing_asks_the_database(self):
        make_schedule()
        self.advance("s")

        with (
            mock.patch.object(sentry_sdk, "is_initialized", return_value=False),
            CaptureQueriesContext(connection) as found,
        ):
            self.assertEqual(self.drain(), [])

        self.assertEqual([one for one in found if "recent" in one["sql"]], [])

    def test_a_worker_that_ends_sends_what_waits(self):
        with mock.patch.object(sentry_sdk, "flush") as flush:
            self.drain()

        flush.assert_called_once_with(timeout=check_ins.FLUSH_SECONDS)


class MonitorTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_expressions_that_sentry_reads_as_we_do(self):
        for number, (cron, expected) in enumerate(
            {
                "*/5 * * * *": True,
                "0 9-17/2 1,15 jan-jun mon-fri": True,
                "@daily": True,
                "manual": False,
                "* * * * * */5": False,
                "0 0 1 1 * 0 2030": False,
                "H 3 * * *": False,
                "0 0 L * *": False,
                "0 0 * * mon#2": False,
                "0 0 15W * *": False,
            }.items()
        ):
            with self.subTest(cron=cron):
                schedule = make_schedule(f"s{number}", cron, make_task(f"t{number}"))

                self.assertEqual(monitors.is_supported(schedule), expected)

    def test_an_alias_is_sent_as_what_it_stands_for(self):
        schedule = make_schedule(cron="@daily", timezone="Asia/Tokyo")

        self.assertEqual(monitors.config(schedule)["schedule"]["value"], "0 0 * * *")
        self.assertEqual(monitors.config(schedule)["timezone"], "Asia/Tokyo")

    def test_a_timeout_says_how_long_a_run_may_take_unless_it_is_retried(self):
        once = make_schedule("a", task=make_task("a", timeout=119, timeout_grace=2))
        again = make_schedule("b", task=make_task("b", timeout=119, retries=1))

        self.assertEqual(monitors.config(once)["max_runtime"], 3)
        self.assertNotIn("max_runtime", monitors.config(again))

    def test_a_slug_has_the_letters_and_the_length_that_sentry_takes(self):
        names = ["app.tasks.report", "Häufig & gut", "12", "例", "x" * 60, "x" * 61]
        slugs = [
            monitors.slug(make_schedule(name, task=make_task(f"t{number}")))
            for number, name in enumerate(names)
        ]

        self.assertEqual(slugs[:2], ["app-tasks-report", "haufig-gut"])
        for slug in slugs:
            self.assertRegex(slug, r"^(?!\d+$)[a-z0-9_-]{1,50}$")
        self.assertEqual(len(set(slugs)), len(names))
