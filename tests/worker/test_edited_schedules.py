"""A schedule with `catch_up` whose expression was edited: its past follows the former one."""

from datetime import timedelta

from django.test import TestCase

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.worker.scheduler import Scheduler
from tests.support import NOW, isolate_registries, make_task

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LATER = NOW + 30 * DAY + MINUTE / 2


class EditedTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task()

    def worker(self, cron, now, zone="UTC", *, catch_up=True):
        """Return the schedules of a worker that starts with this code."""
        schedules_registry.clear()
        schedule_task(cron=cron, name="s", timezone=zone, catch_up=catch_up)(self.task)
        scheduler = Scheduler(list(schedules_registry.values()))
        scheduler.sync(now)
        return scheduler

    def drain(self, scheduler, now):
        count = 0
        while queued := scheduler.run_once(now):
            count += queued
        return count

    def dues(self):
        return list(TaskExec.objects.order_by("pk").values_list("due", flat=True))

    def test_thirty_days_by_the_hour_stay_so_when_it_is_edited_to_every_minute(self):
        self.worker("0 * * * *", NOW)

        with self.assertLogs("toosimpleq", "INFO") as logs:
            edited = self.worker("* * * * *", LATER)
            queued = [self.drain(edited, LATER)]
        queued += [edited.run_once(LATER + n * MINUTE) for n in (1, 2)]

        self.assertEqual(queued, [30 * 24, 1, 1])
        past = [NOW + (n + 1) * HOUR for n in range(30 * 24)]
        self.assertEqual(self.dues(), [*past, LATER + MINUTE / 2, LATER + 3 * MINUTE / 2])
        self.assertEqual(ScheduleExec.objects.get().expression, "* * * * * UTC")
        [line] = [line for line in logs.output if "new expression" in line]
        self.assertIn("former='0 * * * * UTC' new='* * * * * UTC'", line)

    def test_a_start_half_way_goes_on_with_the_former_one(self):
        self.worker("0 * * * *", NOW)
        self.worker("* * * * *", LATER).run_once(LATER)

        self.drain(self.worker("* * * * *", LATER), LATER)

        self.assertEqual(len(self.dues()), 30 * 24)

    def test_two_workers_that_find_the_edit_queue_each_occurrence_once(self):
        self.worker("0 * * * *", NOW)
        edited = [self.worker("* * * * *", LATER) for _ in range(2)]

        while sum(one.run_once(LATER) for one in edited):
            pass
        now = LATER + MINUTE
        later = sum(one.run_once(now) + one.run_once(now) for one in edited)

        dues = self.dues()
        self.assertEqual((len(dues), len(set(dues)), later), (30 * 24 + 1, 30 * 24 + 1, 1))

    def test_an_edited_time_zone_is_an_edit_as_well(self):
        self.worker("0 0 * * *", NOW)

        self.drain(self.worker("0 0 * * *", LATER, "Asia/Tokyo"), LATER)

        self.assertEqual({due.hour for due in self.dues()}, {0})

    def test_what_was_not_edited_catches_up(self):
        self.worker("0 * * * *", NOW)

        with self.assertNoLogs("toosimpleq", "WARNING"):
            count = self.drain(self.worker("0 * * * *", LATER), LATER)

        self.assertEqual(count, 30 * 24)

    def test_a_row_that_knows_no_expression_follows_the_code(self):
        self.worker("0 * * * *", NOW)
        ScheduleExec.objects.update(expression="")

        self.assertEqual(self.drain(self.worker("0 12 * * *", LATER), LATER), 30)

    def test_a_former_one_that_cannot_be_read_is_not_caught_up_with(self):
        self.worker("0 * * * *", NOW)
        ScheduleExec.objects.update(expression="every 60 s UTC")

        with self.assertLogs("toosimpleq", "INFO") as logs:
            queued = self.drain(self.worker("* * * * *", LATER), LATER)

        self.assertEqual(queued, 0)
        self.assertIn("former='every 60 s UTC'", logs.output[0])

    def test_without_catch_up_the_latest_of_the_new_one_runs(self):
        self.worker("0 * * * *", NOW, catch_up=False)

        edited = self.worker("* * * * *", LATER, catch_up=False)

        self.assertEqual((edited.run_once(LATER), self.dues()), (1, [LATER - MINUTE / 2]))
        self.assertEqual(ScheduleExec.objects.get().expression, "* * * * * UTC")
