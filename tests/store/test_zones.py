"""The store reads and writes moments as Django does, in whatever zone the project keeps them."""

from contextlib import contextmanager
from datetime import timedelta
from unittest import mock
from zoneinfo import ZoneInfo

from django.db import connection, connections
from django.test import TestCase, override_settings
from django.utils import timezone

from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.step import adapt
from tests.support import claim, isolate_registries, make_task, make_worker, reload, states


class ZoneTests(TestCase):
    """Times in UTC, as the settings of all tests have it."""

    def setUp(self):
        isolate_registries(self)
        self.now = timezone.now()
        self.me = make_worker(now=self.now - timedelta(days=1))

    def assert_near(self, moment, other):
        self.assertLess(abs((moment - other).total_seconds()), 60)

    def test_the_database_s_clock_is_the_project_s(self):
        self.assert_near(workers.clock(), self.now)

    def test_a_heartbeat_reads_as_now(self):
        workers.beat(*self.me)

        self.assert_near(WorkerStatus.objects.get().last_tick, self.now)

    def test_a_moment_is_written_as_django_writes_it(self):
        here = timezone.now()
        moments = [here, here.replace(microsecond=0)]
        if timezone.is_aware(here):
            moments += [moment.astimezone(ZoneInfo("Asia/Kolkata")) for moment in moments]

        for moment in moments:
            with self.subTest(moment=moment):
                written = connection.ops.adapt_datetimefield_value(moment)
                self.assertEqual(adapt(connection, moment), written)

    def test_what_is_due_in_an_hour_sleeps_until_then(self):
        row = make_task().queue(due=self.now + timedelta(hours=1))

        next_due = task_execs.look(workers.clock()).next_due
        task_execs.wake(workers.clock())

        self.assert_near(next_due, self.now + timedelta(hours=1))
        self.assertEqual((next_due, states()), (reload(row).due, ["SLEEPING"]))

    def test_a_claimed_row_tells_its_moments_as_they_are(self):
        row = make_task(expires=timedelta(hours=2)).queue(due=self.now - timedelta(minutes=5))
        task_execs.wake(workers.clock())

        [claimed] = claim(self.me, now=workers.clock())

        stored = reload(row)
        self.assertEqual((claimed.due, claimed.created), (stored.due, stored.created))
        self.assertEqual(claimed.expires, stored.expires)
        self.assert_near(stored.started, self.now)


@override_settings(USE_TZ=False)
class NaiveTests(ZoneTests):
    """A project without time zones keeps local time."""


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
