from datetime import UTC, datetime, timedelta
from itertools import pairwise
from unittest import mock
from zoneinfo import ZoneInfo

from django.core.checks import run_checks
from django.test import SimpleTestCase, override_settings

from django_toosimple_q.contrib.celery import Celery, beat, crontab, shared_task
from django_toosimple_q.contrib.celery.app import discovered
from django_toosimple_q.contrib.celery.connect import connect
from django_toosimple_q.contrib.celery.exceptions import InvalidOption, NotSupported
from django_toosimple_q.contrib.celery.schedules import Interval, schedule, solar
from django_toosimple_q.cron import Cron
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.worker.scheduler import Scheduler
from tests.contrib.celery.cases import CeleryTests, last_row
from tests.support import NOW


class CrontabTests(SimpleTestCase):
    def test_fields_become_a_cron_expression(self):
        for fields, cron in (
            ({}, "* * * * *"),
            ({"minute": 30, "hour": 7}, "30 7 * * *"),
            ({"minute": "*/15", "hour": "8-18"}, "*/15 8-18 * * *"),
            ({"minute": "0", "hour": "3,17, 22"}, "0 3,17,22 * * *"),
            ({"minute": [0, 30]}, "0,30 * * * *"),
            ({"minute": 0, "hour": 0, "day_of_week": "mon-fri"}, "0 0 * * 1-5"),
            ({"minute": 0, "hour": 0, "day_of_week": "Sunday"}, "0 0 * * 0"),
            ({"minute": 0, "hour": 0, "day_of_week": "fri-mon"}, "0 0 * * 5,6,0,1"),
            ({"minute": 0, "hour": "22-3/2"}, "0 22,0,2 * * *"),
            ({"minute": 0, "hour": 0, "day_of_month": "1-7,15-21"}, "0 0 1-7,15-21 * *"),
            ({"minute": 0, "hour": 0, "month_of_year": "*/3"}, "0 0 * */3 *"),
            ({"minute": 0, "hour": 0, "month_of_year": "jan-march,dec"}, "0 0 * 1-3,12 *"),
        ):
            with self.subTest(**fields):
                self.assertEqual(crontab(**fields).cron, cron)
                Cron.parse(cron, ZoneInfo("UTC"))

    def test_a_field_that_cannot_be_right_is_refused(self):
        for fields in (
            {"minute": 60},
            {"hour": "25"},
            {"minute": "a"},
            {"minute": "*/0"},
            {"day_of_week": "funday"},
            {"day_of_month": 0},
            {"minute": True},
            {"minute": None},
        ):
            with self.subTest(**fields), self.assertRaisesRegex(InvalidOption, "cannot be"):
                crontab(**fields)
        with self.assertRaisesRegex(InvalidOption, "has no option minutes"):
            crontab(minutes=5)

    def test_what_cron_cannot_say_is_refused(self):
        with self.assertRaisesRegex(NotSupported, "inside the task"):
            crontab(day_of_month=13, day_of_week="fri")
        with self.assertRaises(NotSupported):
            solar("sunset", 1, 2)

    def test_equal_ones_are_equal(self):
        self.assertEqual(crontab(minute=5), crontab(minute="5"))
        self.assertNotEqual(crontab(minute=5), crontab(minute=6))


class IntervalTests(SimpleTestCase):
    def test_occurrences_are_equally_far_apart(self):
        interval = Interval("every 90 s", UTC, every=timedelta(seconds=90))
        start = datetime(2026, 1, 1, tzinfo=UTC)

        found = list(interval.between(start, start + timedelta(minutes=6)))

        self.assertEqual({b - a for a, b in pairwise(found)}, {interval.every})
        self.assertEqual(interval.latest(found[0]), found[0])
        self.assertEqual(interval.next(found[0]), found[1])
        self.assertEqual(interval.latest(found[1] - timedelta(microseconds=1)), found[0])


class BeatTests(CeleryTests):
    def setUp(self):
        super().setUp()
        self.addCleanup(beat.problems.clear)

        @shared_task(name="shop.report", queue="reports")
        def report(*args, **kwargs): ...

    def register(self, **entry):
        beat.register({"entry": {"task": "shop.report", **entry}})
        return schedules_registry.get("entry")

    def problem(self, **entry):
        self.assertIsNone(self.register(**entry))
        return str(beat.problems["entry"])

    def test_a_crontab_becomes_a_schedule(self):
        found = self.register(
            schedule=crontab(minute=30, hour=7), args=(1,), kwargs={"x": 2}, relative=True
        )

        self.assertEqual((found.cron, found.args, found.kwargs), ("30 7 * * *", (1,), {"x": 2}))
        self.assertEqual((found.task.name, found.queue_name), ("shop.report", "reports"))

    def test_a_crontab_is_read_in_celery_timezone_or_the_projects(self):
        when = crontab(minute=30, hour=7)
        winter = datetime(2026, 1, 1, tzinfo=UTC)

        self.assertEqual(self.register(schedule=when).expression.next(winter).hour, 6)
        with override_settings(CELERY_TIMEZONE="UTC"):
            self.assertEqual(self.register(schedule=when).expression.next(winter).hour, 7)

    def test_an_interval_becomes_a_schedule(self):
        for when in (timedelta(seconds=30), 30, 30.0, schedule(30), schedule(timedelta(0, 30))):
            with self.subTest(when=when):
                found = self.register(schedule=when)

                self.assertEqual(found.cron, "every 30 s")
                self.assertEqual(found.expression.next(NOW), NOW + timedelta(seconds=30))

    def test_a_schedule_queues_its_calls(self):
        found = self.register(schedule=60, args=(5,), options={"queue": "night", "expires": 30})
        scheduler = Scheduler([found])
        scheduler.sync(NOW)

        scheduler.run_once(NOW + timedelta(seconds=59))
        self.assertEqual(TaskExec.objects.count(), 0)
        scheduler.run_once(NOW + timedelta(seconds=61))

        self.assertEqual(TaskExec.objects.count(), 1)
        self.assertEqual((last_row().args, last_row().queue), ([5], "night"))
        self.assertEqual(last_row().expires, NOW + timedelta(seconds=91))

    def test_what_is_wrong_with_an_entry_is_reported(self):
        self.assertIn("Did you mean 'shop.report'", self.problem(task="shop.reports", schedule=5))
        self.assertIn("no 'schedule'", self.problem())
        self.assertIn("no 'task'", self.problem(task="", schedule=5))
        self.assertIn("Did you mean 'kwargs'", self.problem(schedule=5, kwarg={}))
        self.assertIn("from django_toosimple_q.contrib.celery", self.problem(schedule="daily"))
        self.assertIn("whole seconds", self.problem(schedule=0.5))
        self.assertIn("countdown", self.problem(schedule=5, options={"countdown": 5}))
        self.assertIn("Use a list or tuple", self.problem(schedule=5, args=5))
        self.assertIn("Use a dict", self.problem(schedule=5, kwargs=[5]))

    def test_settings_of_another_shape_are_reported_and_stop_nothing(self):
        beat.register({"bad": 5})
        self.assertIn("Use a dict", str(beat.problems["bad"]))

        beat.register([1])
        [found] = [message for message in run_checks() if message.id == "toosimpleq.E150"]
        self.assertIn("CELERY_BEAT_SCHEDULE is not scheduled: it is [1]", found.msg)

    def test_a_wrong_entry_fails_the_checks_and_leaves_the_others(self):
        beat.register({"bad": {"task": "x"}, "good": {"task": "shop.report", "schedule": 5}})

        self.assertIn("good", schedules_registry)
        found = [message for message in run_checks() if message.id == "toosimpleq.E150"]
        self.assertEqual(len(found), 1)
        self.assertIn("CELERY_BEAT_SCHEDULE['bad']", found[0].msg)


class ConnectTests(CeleryTests):
    SCHEDULE = {"entry": {"task": "shop.report", "schedule": 60}}

    @override_settings(CELERY_BEAT_SCHEDULE=SCHEDULE, CELERY_IMPORTS=("shop.jobs",))
    def test_a_project_of_real_celery_is_left_alone(self):
        connect()

        self.assertEqual((schedules_registry, beat.problems), ({}, {}))

    @override_settings(CELERY_BEAT_SCHEDULE=SCHEDULE, CELERY_IMPORTS=("shop.jobs",))
    def test_modules_with_tasks_are_imported_before_schedules_are_made(self):
        def imported(module):
            self.assertEqual(module, "shop.jobs")
            shared_task(name="shop.report")(lambda: None)

        shared_task(name="other")(lambda: None)
        path = "django_toosimple_q.contrib.celery.connect.import_module"
        with mock.patch(path, side_effect=imported):
            connect()

        self.assertEqual((list(schedules_registry), beat.problems), (["entry"], {}))

    @override_settings(CELERY_IMPORTS="os.path")
    def test_modules_are_found_by_a_single_name_and_by_the_app(self):
        Celery("shop").autodiscover_tasks(["email", "json"], related_name="decoder")
        self.addCleanup(discovered.clear)

        path = "django_toosimple_q.contrib.celery.connect.import_module"
        with mock.patch(path) as imported:
            connect()

        self.assertEqual(
            [call.args[0] for call in imported.mock_calls], ["os.path", "json.decoder"]
        )
