"""A schedule whose calls cannot be queued: it alone stands still, until the code is corrected."""

from datetime import timedelta
from itertools import pairwise
from unittest import mock

from django.core import checks
from django.core.management import call_command
from django.db import connection
from django.test import TestCase
from django.utils import timezone
from freezegun import freeze_time

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs
from django_toosimple_q.worker.scheduler import Scheduler
from tests.admin.pages import AdminTestCase
from tests.support import NOW, isolate_registries, make_task


class Stubborn:
    """Can be copied, but not stored."""

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise SystemExit("not me")


def fail(*args, **kwargs):
    raise RuntimeError("no such key")


def leave(*args, **kwargs):
    raise SystemExit


# What keeps the calls of a schedule from being queued: options of its task, and of the schedule.
BREAKS = {
    "unique_by raises": ({"unique_by": fail}, {}),
    "unique_by exits": ({"unique_by": leave}, {}),
    "a lambda": ({}, {"kwargs": {"x": lambda: None}}),
    "what does not pickle": ({}, {"args": [Stubborn()]}),
    "an iterator of a unique task": ({"unique": True}, {"args": [iter([1])]}),
    "no such parameter": ({"func": lambda x: x}, {"args": [1], "datetime_kwarg": "when"}),
}


class BrokenScheduleTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def define(self, name, task_options, options):
        task_options = {"func": lambda *args, **kwargs: None, **task_options}
        schedule_task(cron="* * * * *", name=name, **options)(
            make_task(f"t {name}", **task_options)
        )

    def drain(self):
        call_command("worker", "--until_done", "-v0")

    def define_all(self):
        """Define a broken schedule of each kind, with sound ones before and after."""
        self.define("first", {}, {})
        for name, (task_options, options) in BREAKS.items():
            self.define(name, task_options, options)
        self.define("last", {}, {})

    def test_the_others_are_on_time_and_the_worker_lives(self):
        with freeze_time("2026-01-01 12:00:30") as clock:
            self.define_all()
            self.drain()
            make_task("urgent").queue()
            clock.move_to("2026-01-01 12:01:00")
            self.drain()

        names = set(TaskExec.objects.values_list("task_name", "state"))
        ran = {("t first", "SUCCEEDED"), ("t last", "SUCCEEDED"), ("urgent", "SUCCEEDED")}
        self.assertEqual(names, ran)
        for row in ScheduleExec.objects.exclude(name__in=["first", "last"]):
            with self.subTest(row.name):
                self.assertEqual((row.state, bool(row.error)), ("BROKEN", True))
                self.assertEqual((row.last_due.second, row.failed.minute), (30, 1))

    def test_what_it_missed_is_queued_once_the_code_is_corrected(self):
        for catch_up, count in ((True, 3), (False, 1)):
            with self.subTest(catch_up=catch_up), freeze_time("2026-01-01 12:00:30") as clock:
                schedules_registry.clear()
                TaskExec.objects.all().delete()
                ScheduleExec.objects.all().delete()
                self.define("s", {"unique_by": fail}, {"catch_up": catch_up})
                self.drain()
                clock.move_to("2026-01-01 12:03:00")
                self.drain()
                self.assertEqual(ScheduleExec.objects.get().state, "BROKEN")

                schedules_registry.clear()
                self.define("s", {}, {"catch_up": catch_up})
                self.drain()

                row = ScheduleExec.objects.get()
                self.assertEqual((row.state, row.error, row.failed), ("ACTIVE", "", None))
                self.assertEqual(TaskExec.objects.filter(state="SUCCEEDED").count(), count)

    def test_it_is_tried_again_ever_later_and_reported_once(self):
        self.define("s", {"unique_by": fail}, {})
        scheduler = Scheduler(list(schedules_registry.values()))
        scheduler.sync(NOW)
        now, tries = NOW + timedelta(minutes=1), []

        with (
            mock.patch.object(schedule_execs, "advance", side_effect=schedule_execs.advance) as spy,
            self.assertLogs("toosimpleq", "ERROR") as logged,
        ):
            for _ in range(20 * 60):
                before = spy.call_count
                scheduler.run_once(now)
                tries += [now] * (spy.call_count - before)
                now += timedelta(seconds=1)

        pauses = [(b - a).total_seconds() for a, b in pairwise(tries)]
        self.assertEqual(pauses[:9], [1, 2, 4, 8, 16, 32, 64, 128, 256])
        self.assertTrue(all(pause == 300 for pause in pauses[9:]), pauses)
        self.assertGreater(scheduler.earliest(), now - timedelta(seconds=300))
        self.assertEqual(len(logged.output), 1)
        self.assertIn(
            "schedule cannot be queued: name=s error=RuntimeError: no such key", str(logged)
        )

    def test_one_that_the_code_lost_is_invalid(self):
        self.define("s", {"unique_by": fail}, {})
        with freeze_time(timezone.now() + timedelta(minutes=1)):
            self.drain()
        ScheduleExec.objects.update(state="BROKEN")
        schedules_registry.clear()

        self.drain()

        self.assertEqual(ScheduleExec.objects.get().state, "INVALID")

    def test_the_check_of_the_code_finds_what_cannot_be_stored(self):
        self.define_all()

        found = [one.msg for one in checks.run_checks() if one.id == "toosimpleq.E004"]

        self.assertEqual(len(found), 4, found)
        for what in ("'x'", "Stubborn", "iterator", "'when'"):
            self.assertTrue([message for message in found if what in message], (what, found))

    def test_the_check_of_the_database_names_it_with_its_error(self):
        self.define("s", {"unique_by": fail}, {})
        ScheduleExec.objects.create(name="s", state="BROKEN", error="no such key", failed=NOW)

        messages = checks.run_checks(databases=[connection.alias], tags=["database"])

        [found] = [one for one in messages if one.id == "toosimpleq.W003"]
        self.assertIn("no such key", found.msg)
        self.assertIn("test_broken_schedules", found.obj)


class PageTests(AdminTestCase):
    def test_the_admin_shows_it_with_its_error(self):
        row = ScheduleExec.objects.create(name="s", state="BROKEN", error="no such key", failed=NOW)

        self.assertContains(self.list_page(ScheduleExec), "Broken")
        self.assertContains(self.row_page(row), "no such key")

    def test_one_that_is_sound_has_no_such_part(self):
        row = ScheduleExec.objects.create(name="s")

        self.assertNotContains(self.row_page(row), "Why it is broken")

    def test_running_it_by_hand_says_why_it_cannot(self):
        schedule_task(cron="* * * * *", name="s")(make_task(unique_by=fail))
        row = ScheduleExec.objects.create(name="s")

        response = self.act("action_force_run", row)

        self.assertContains(response, "no such key")
        self.assertEqual(reload_schedule(row).last_task, None)


def reload_schedule(row):
    return ScheduleExec.objects.get(pk=row.pk)
