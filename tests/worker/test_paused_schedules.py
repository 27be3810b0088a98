"""A schedule that a person has paused: nothing is queued, and how it goes on."""

from datetime import timedelta

from django.test import TestCase

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_pauses
from django_toosimple_q.worker.scheduler import PAUSED_SECONDS, Scheduler
from tests.support import NOW, isolate_registries, make_task

MINUTE = timedelta(minutes=1)
LATER = timedelta(seconds=PAUSED_SECONDS)


class PausedTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def scheduler(self, **options):
        schedule_task(cron="* * * * *", name="s", timezone="UTC", **options)(make_task("t"))
        scheduler = Scheduler(list(schedules_registry.values()))
        scheduler.sync(NOW)
        return scheduler

    def dues(self):
        return list(TaskExec.objects.order_by("pk").values_list("due", flat=True))

    def test_it_queues_nothing_and_its_row_stays_where_it_is(self):
        scheduler = self.scheduler()
        self.assertTrue(schedule_pauses.pause("s", NOW))

        queued = [scheduler.run_once(NOW + number * MINUTE) for number in range(1, 5)]

        self.assertEqual(queued, [0] * 4)
        self.assertEqual(ScheduleExec.objects.get().last_due, NOW)

    def test_the_others_are_on_time(self):
        schedule_task(cron="* * * * *", name="other", timezone="UTC")(make_task("u"))
        scheduler = self.scheduler()
        schedule_pauses.pause("s", NOW)

        self.assertEqual(scheduler.run_once(NOW + MINUTE), 1)
        self.assertEqual(TaskExec.objects.get().task_name, "u")

    def test_a_worker_looks_again_after_some_seconds_and_not_at_once(self):
        scheduler = self.scheduler()
        schedule_pauses.pause("s", NOW)
        scheduler.run_once(NOW + MINUTE)

        self.assertFalse(scheduler.is_due(NOW + MINUTE))
        self.assertEqual(scheduler.earliest(), NOW + MINUTE + LATER)

    def test_it_goes_on_at_its_next_occurrence(self):
        scheduler = self.scheduler()
        schedule_pauses.pause("s", NOW)
        now = NOW + 30 * MINUTE + LATER
        scheduler.run_once(now - LATER)

        self.assertTrue(schedule_pauses.resume("s", now - LATER, catch_up=False))
        self.assertFalse(schedule_pauses.resume("s", now - LATER, catch_up=False))
        scheduler.run_once(now)
        self.assertEqual(self.dues(), [])
        scheduler.run_once(NOW + 31 * MINUTE)

        self.assertEqual(self.dues(), [NOW + 31 * MINUTE])

    def test_one_that_catches_up_queues_what_it_missed(self):
        scheduler = self.scheduler(catch_up=True)
        schedule_pauses.pause("s", NOW)
        scheduler.run_once(NOW + 3 * MINUTE)

        schedule_pauses.resume("s", NOW + 3 * MINUTE, catch_up=True)
        scheduler.run_once(NOW + 3 * MINUTE + LATER)

        self.assertEqual(self.dues(), [NOW + number * MINUTE for number in (1, 2, 3)])

    def test_a_worker_that_starts_meanwhile_keeps_to_it(self):
        self.scheduler()
        schedule_pauses.pause("s", NOW)

        late = Scheduler(list(schedules_registry.values()))
        late.sync(NOW + 5 * MINUTE)

        self.assertEqual(late.run_once(NOW + 5 * MINUTE), 0)

    def test_one_that_has_no_past_yet_still_runs_at_once_when_it_goes_on(self):
        scheduler = self.scheduler(run_on_creation=True)
        schedule_pauses.pause("s", NOW)
        self.assertEqual(scheduler.run_once(NOW), 0)

        schedule_pauses.resume("s", NOW, catch_up=False)

        self.assertEqual(scheduler.run_once(NOW + LATER), 1)
