"""The queue's columns hold instants, in whatever zone the project has its datetimes."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest import mock
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, connections
from django.test import TestCase, override_settings
from django.utils import timezone

from django_toosimple_q.databases import database_of
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.moments import FIRST_YEAR, LAST_YEAR, aware, project_datetime
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.transaction import adapt
from tests.support import claim, isolate_registries, make_task, make_worker, reload, states


class ZoneTests(TestCase):
    """Times in UTC, as the settings of all tests have it."""

    def setUp(self):
        isolate_registries(self)
        self.now = timezone.now()
        self.me = make_worker(now=self.now - timedelta(days=1))

    def assert_near(self, moment, other):
        self.assertLess(abs((aware(moment) - aware(other)).total_seconds()), 60)

    def test_the_database_s_clock_is_the_project_s(self):
        self.assert_near(workers.clock(), self.now)

    def test_a_heartbeat_reads_as_now(self):
        workers.beat(*self.me)

        self.assert_near(WorkerStatus.objects.get().last_tick, self.now)

    def test_a_moment_is_written_in_utc_by_the_store_as_by_the_field(self):
        moment = datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=UTC)
        written = [moment, moment.astimezone(ZoneInfo("Asia/Kolkata")), project_datetime(moment)]
        digits = moment if database_of(connection).stores_instants else "2026-07-01 12:00:00.000005"

        for one in written:
            with self.subTest(moment=one):
                field = WorkerStatus._meta.get_field("last_tick")
                self.assertEqual(adapt(connection, one), digits)
                self.assertEqual(field.get_db_prep_value(one, connection), digits)

    def test_what_is_due_in_an_hour_sleeps_until_then(self):
        row = make_task().queue(due=self.now + timedelta(hours=1))

        next_due = task_execs.backlog(workers.clock()).next_due
        task_execs.wake(workers.clock())

        self.assert_near(next_due, self.now + timedelta(hours=1))
        self.assertEqual((next_due, states()), (aware(reload(row).due), ["SLEEPING"]))

    def test_a_claimed_row_tells_its_moments_as_they_are(self):
        row = make_task(expires=timedelta(hours=2)).queue(due=self.now - timedelta(minutes=5))
        task_execs.wake(workers.clock())

        [claimed] = claim(self.me, now=workers.clock())

        stored = reload(row)
        moments = [aware(one) for one in (stored.due, stored.created, stored.expires)]
        self.assertEqual([claimed.due, claimed.created, claimed.expires], moments)
        self.assert_near(stored.started, self.now)

    def test_the_first_and_the_last_moment_that_are_taken_are_read_back_in_any_zone(self):
        first, last = datetime(FIRST_YEAR, 1, 1), datetime(LAST_YEAR, 12, 31, 23, 59, 59)
        given = [first, last]
        if settings.USE_TZ:
            given += [moment.replace(tzinfo=UTC) for moment in given]
        for zone in ("America/New_York", "Europe/Zurich", "Pacific/Kiritimati"):
            with timezone.override(zone):
                for moment in given:
                    row = make_task(expires=moment).queue(due=moment)
                    stored = reload(row)
                    with self.subTest(zone=zone, moment=moment):
                        self.assertEqual((stored.due, stored.expires), (row.due, row.expires))
                        task_execs.wake(workers.clock())
                        self.assertIsNotNone(task_execs.backlog(workers.clock()))


@override_settings(USE_TZ=False)
class NaiveTests(ZoneTests):
    """A project without time zones has naive datetimes, in local time."""


class DatabaseZoneTests(ZoneTests):
    """A database that others write to as well, in a zone of its own."""

    def setUp(self):
        zone = database_zone("America/New_York")
        zone.__enter__()
        self.addCleanup(zone.__exit__, None, None, None)
        super().setUp()
        self.assertEqual(str(connection.timezone), "America/New_York")


@contextmanager
def database_zone(name):
    """Let Django keep times in this zone, as DATABASES says, while the block runs."""
    with mock.patch.dict(connection.settings_dict, TIME_ZONE=name):
        forget_zone()
        yield
    forget_zone()


def forget_zone():
    # Not the proxy that stands for it.
    own = connections[connection.alias]
    for cached in ("timezone", "timezone_name"):
        own.__dict__.pop(cached, None)
    own.ensure_timezone()
