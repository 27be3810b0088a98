"""Moments are instants whatever USE_TZ and TIME_ZONE say, over changes of both."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest import mock

from django.conf import settings
from django.db import connection
from django.db.models import Max
from django.db.models.functions import TruncDay
from django.test import TestCase, override_settings, skipUnlessDBFeature
from django.utils import timezone

from django_toosimple_q.databases import database_of
from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.fields import MomentField
from django_toosimple_q.models import (
    ConcurrencyKey,
    QueueStatus,
    ScheduleExec,
    TaskExec,
    WorkerStatus,
)
from django_toosimple_q.moments import aware, project_datetime
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import task_execs, upgrade_moments, workers
from django_toosimple_q.worker.scheduler import Scheduler
from tests.support import claim, isolate_registries, make_task, make_worker, reload, states

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
# In London 01:00 to 02:00 comes twice, and in spring not at all.
AUTUMN = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
SPRING = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
MODELS = (TaskExec, ScheduleExec, WorkerStatus, QueueStatus, ConcurrencyKey)


@contextmanager
def project(zone, *, use_tz=False):
    with override_settings(USE_TZ=use_tz, TIME_ZONE=zone):
        yield


def stored(model, column):
    """Return what stands in the database, in UTC."""
    database = database_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {database.raw([column])[0]} FROM {model._meta.db_table}")
        return database.moment(cursor.fetchone()[0])


class ScheduleTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def scheduler(self, now, cron="* * * * * *", **options):
        if not schedules_registry:
            task = make_task("scheduled")
            schedule_task(cron=cron, name="s", timezone="UTC", **options)(task)
        scheduler = Scheduler(list(schedules_registry.values()))
        scheduler.sync(now)
        return scheduler

    def steps(self, now, step):
        """Run schedules around a clock change, each time by a worker that has just started."""
        return [self.scheduler(now + n * step).run_once(now + n * step) for n in range(-8, 9)]

    def test_every_second_at_both_changes_of_summer_time(self):
        for change in (AUTUMN, SPRING):
            with self.subTest(change=change), project("Europe/London"):
                TaskExec.objects.all().delete()
                self.assertEqual(self.steps(change, SECOND), [0] + [1] * 16)
                self.assertEqual(self.steps(change + HOUR, SECOND), [1] * 17)

    def test_every_minute_of_both_hours_with_catch_up(self):
        with project("Europe/London"):
            self.scheduler(AUTUMN - HOUR, "* * * * *", catch_up=True)

            now = AUTUMN + HOUR
            queued = [self.scheduler(now).run_once(now) for _ in range(4)]

            self.assertEqual(queued, [50, 50, 20, 0])
            dues = [aware(row.due) for row in TaskExec.objects.order_by("pk")]
            self.assertEqual(dues, [AUTUMN - HOUR + n * MINUTE for n in range(1, 121)])

    def test_a_change_of_zone_neither_stops_it_nor_makes_it_catch_up(self):
        zones = [("Asia/Tokyo", "Europe/London"), ("Europe/London", "Asia/Tokyo")]
        for (before, after), change in zip(zones, (AUTUMN, SPRING), strict=True):
            with self.subTest(before=before):
                with project(before):
                    self.scheduler(change, catch_up=True).run_once(change + SECOND)
                with project(after):
                    now = change + 8 * SECOND
                    self.assertEqual(self.scheduler(now).run_once(now), 7)
                ScheduleExec.objects.all().delete()

    def test_a_site_that_begins_to_use_time_zones_goes_on(self):
        with project("Asia/Tokyo"):
            self.scheduler(AUTUMN).run_once(AUTUMN + SECOND)
        with project("Asia/Tokyo", use_tz=True):
            queued = self.scheduler(AUTUMN).run_once(AUTUMN + 2 * SECOND)

        self.assertEqual(queued, 1)


class CallTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_what_is_due_in_eight_seconds_wakes_then_in_another_zone(self):
        for before, after in (("Asia/Tokyo", "Europe/London"), ("Europe/London", "Asia/Tokyo")):
            with self.subTest(before=before):
                with project(before):
                    now = workers.clock()
                    make_task().queue(due=timezone.now() + 8 * SECOND)
                with project(after):
                    early = task_execs.wake(now + 7 * SECOND)
                    self.assertEqual((early, task_execs.wake(now + 9 * SECOND)), (0, 1))
                TaskExec.objects.all().delete()

    def test_the_hour_that_comes_twice_is_told_apart(self):
        with project("Europe/London"):
            first = datetime(2026, 10, 25, 1, 30)
            rows = [make_task().queue(due=one) for one in (first, first.replace(fold=1))]
            rows = [reload(row) for row in rows]

            self.assertEqual([row.due for row in rows], [first, first])
            self.assertEqual([row.due.fold for row in rows], [0, 1])
            self.assertEqual(aware(rows[1].due) - aware(rows[0].due), HOUR)
            self.assertEqual(task_execs.wake(AUTUMN), 1)

    def test_an_expiry_counts_through_a_clock_change(self):
        with project("Europe/London"):
            task = make_task(expires=2 * HOUR)
            here = "django_toosimple_q.store.enqueue.current_moment"
            with mock.patch(here, return_value=AUTUMN - HOUR):
                row = task.queue()

            self.assertEqual(aware(reload(row).expires), AUTUMN + HOUR)

    def test_a_worker_is_as_old_in_the_hour_that_comes_twice(self):
        with project("Europe/London"):
            make_worker("w", now=AUTUMN - 30 * MINUTE, timeout=10 * MINUTE)
            row = WorkerStatus.objects.get()

            self.assertFalse(row.is_silent(AUTUMN - 25 * MINUTE))
            self.assertTrue(row.is_silent(AUTUMN + 25 * MINUTE))

    def test_what_was_queued_is_claimed_with_its_moments(self):
        with project("Asia/Tokyo"):
            row = make_task().queue()
            [claimed] = claim(make_worker(now=workers.clock()), now=workers.clock())

            self.assertEqual((claimed.created, claimed.due), (aware(row.created), aware(row.due)))
            self.assertIsNone(row.created.tzinfo)
            self.assertEqual(states(), ["PROCESSING"])

    def test_a_unique_call_that_waits_is_not_taken_for_a_new_one(self):
        with project("Asia/Tokyo"):
            task = make_task(unique=True)
            first, second, other = task.queue(1), task.queue(1), task.queue(2)

        self.assertEqual((first.pk, first.due), (second.pk, second.due))
        self.assertNotEqual(first.pk, other.pk)


class ColumnTests(TestCase):
    """Every datetime of every model."""

    def moments(self):
        for model in MODELS:
            for field in model._meta.concrete_fields:
                if isinstance(field, MomentField):
                    yield model, field.attname

    def test_each_is_stored_in_utc_and_read_as_the_project_has_it(self):
        summer = datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=UTC)
        seen = 0
        for model, column in self.moments():
            for zone in ("Europe/London", "Asia/Tokyo"):
                for use_tz in (False, True):
                    with self.subTest(model, column=column), project(zone, use_tz=use_tz):
                        model.objects.all().delete()
                        model.objects.create(**{column: project_datetime(summer)})
                        self.assertEqual(stored(model, column), summer)
                        model.objects.filter(**{column: project_datetime(summer)}).update(
                            **{column: summer + HOUR}
                        )
                        row = model.objects.get()
                        read = getattr(row, column)
                        self.assertEqual(read, project_datetime(summer + HOUR))
                        self.assertEqual(read.tzinfo is not None, use_tz)
                        latest = model.objects.aggregate(Max(column))[f"{column}__max"]
                        self.assertEqual(latest, read)
                        seen += 1
        self.assertGreaterEqual(seen, 4 * 15)

    @skipUnlessDBFeature("has_zoneinfo_database")
    def test_a_day_is_that_of_the_project_s_zone(self):
        with project("Asia/Tokyo", use_tz=True):
            moment = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)
            TaskExec.objects.create(task_name="t", finished=moment)

            [day] = TaskExec.objects.values_list(TruncDay("finished"), flat=True)

            self.assertEqual(f"{day:%Y-%m-%d %H:%M %z}", "2026-07-02 00:00 +0900")


class UpgradeTests(TestCase):
    """Rows that were written before moments were in UTC."""

    def setUp(self):
        if database_of(connection).stores_instants:
            self.skipTest("its columns hold instants, so nothing is converted")

    def write(self, model, pk, column, text):
        key = model._meta.pk.column
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {model._meta.db_table} SET {column} = %s WHERE {key} = %s", [text, pk]
            )

    def digits(self, model, column):
        return str(stored(model, column).replace(tzinfo=None))

    def test_every_column_is_converted_and_back(self):
        with project("Asia/Tokyo"):
            for table, (key, *columns) in upgrade_moments.COLUMNS.items():
                model = next(one for one in MODELS if one._meta.db_table == table)
                row = model.objects.create(**({"name": "n"} if key == "name" else {}))
                for column in columns:
                    self.write(model, row.pk, column, "2026-07-01 12:00:00.000005")

                self.assertTrue(upgrade_moments.to_utc(connection))
                for column in columns:
                    with self.subTest(table=table, column=column):
                        self.assertEqual(self.digits(model, column), "2026-07-01 03:00:00.000005")
                upgrade_moments.from_utc(connection)
                for column in columns:
                    self.assertEqual(self.digits(model, column), "2026-07-01 12:00:00.000005")
                model.objects.all().delete()

    def test_no_column_is_forgotten(self):
        for model in MODELS:
            moments = {
                field.column
                for field in model._meta.concrete_fields
                if isinstance(field, MomentField)
            }
            later = {"paused"} if model is ScheduleExec else set()
            known = set(upgrade_moments.COLUMNS[model._meta.db_table])
            self.assertLessEqual(moments - later, known)

    def test_many_rows_each_once_and_empty_ones_stay_empty(self):
        TaskExec.objects.bulk_create(
            TaskExec(task_name="t", due=AUTUMN) for _ in range(upgrade_moments.BATCH + 3)
        )
        with project("Europe/London"):
            upgrade_moments.to_utc(connection)
            dues = {aware(due) for due in TaskExec.objects.values_list("due", flat=True)}

        # As digits of London: the first of the two hours.
        self.assertEqual(dues, {AUTUMN - HOUR})
        self.assertEqual(TaskExec.objects.filter(finished=None).count(), upgrade_moments.BATCH + 3)

    def test_where_they_are_in_utc_nothing_is_touched(self):
        TaskExec.objects.create(task_name="t")
        self.assertEqual((settings.USE_TZ, upgrade_moments.to_utc(connection)), (True, 0))
        with project("UTC"):
            self.assertEqual(upgrade_moments.to_utc(connection), 0)
