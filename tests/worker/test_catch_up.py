"""Occurrences that were missed while no worker ran."""

from datetime import UTC, datetime, timedelta

from django.core.management import call_command
from django.test import TestCase
from freezegun import freeze_time

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.worker.scheduler import BATCH
from tests.support import isolate_registries, make_task

START = datetime(2026, 1, 1, tzinfo=UTC)


class CatchUpTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.ran = []

    def schedule(self, cron, **options):
        task = make_task("t", lambda at: self.ran.append(at))
        schedule_task(cron=cron, name="s", datetime_kwarg="at", timezone="UTC", **options)(task)

    def work_at(self, moment, *options):
        with freeze_time(moment):
            call_command("worker", *options)

    def test_ten_missed_occurrences_run_oldest_first(self):
        self.schedule("0 * * * *", catch_up=True)
        self.work_at(START, "--until_done")

        self.work_at(START + timedelta(hours=10), "--until_done")

        self.assertEqual(self.ran, [START + timedelta(hours=1 + n) for n in range(10)])

    def test_without_catch_up_the_latest_of_ten_runs(self):
        self.schedule("0 * * * *")
        self.work_at(START, "--until_done")

        self.work_at(START + timedelta(hours=10, minutes=30), "--until_done")

        self.assertEqual(self.ran, [START + timedelta(hours=10)])

    def test_a_year_by_the_second_is_caught_up_with_a_batch_at_a_time(self):
        self.schedule("* * * * * *", catch_up=True)
        self.work_at(START, "--until_done")
        year_later = START + timedelta(days=365)

        for batches in (1, 2, 3):
            self.work_at(year_later, "--once")

            last_due = ScheduleExec.objects.get(name="s").last_due
            self.assertEqual(TaskExec.objects.count(), batches * BATCH)
            self.assertEqual(last_due, START + timedelta(seconds=batches * BATCH))
            self.assertEqual(self.ran[-1], START + timedelta(seconds=batches))

    def logged_at(self, moment):
        with self.assertLogs("toosimpleq", "INFO") as logs, freeze_time(moment):
            call_command("worker", "--until_done", verbosity=2)
        return [line for line in logs.output if "schedule queued" in line]

    def test_the_number_that_a_pause_has_cost_is_reported(self):
        self.schedule("0 * * * *")
        self.work_at(START, "--until_done")

        [after_a_pause] = self.logged_at(START + timedelta(hours=10, minutes=30))
        [in_time] = self.logged_at(START + timedelta(hours=11))

        self.assertIn("occurrences=1 latest=2026-01-01T10:00:00+00:00 skipped=9", after_a_pause)
        self.assertNotIn("skipped", in_time)

    def test_a_very_large_number_is_not_counted_to_its_end(self):
        self.schedule("* * * * * *")
        self.work_at(START, "--until_done")

        [line] = self.logged_at(START + timedelta(days=365))

        self.assertIn("skipped=1000 or more", line)

    def test_a_long_catch_up_is_reported_once(self):
        self.schedule("* * * * * *", catch_up=True)
        self.work_at(START, "--until_done")

        [line] = self.logged_at(START + timedelta(seconds=2.5 * BATCH))

        latest = (START + timedelta(seconds=BATCH)).isoformat()
        self.assertIn(f"occurrences={BATCH} latest={latest} more=yes", line)
        self.assertEqual(len(self.ran), 2.5 * BATCH)
