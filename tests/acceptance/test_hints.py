"""An idle worker learns of new rows at once, and does without hints when they fail."""

import os
import resource
import socket
import time
from unittest import mock

import pytest
from django.db import connection, transaction
from django.test import override_settings

from django_toosimple_q import wakeups
from django_toosimple_q.databases import postgresql
from django_toosimple_q.store.transaction import queue_database
from django_toosimple_q.wakeups.hints import QUIET_SECONDS, Announcer
from django_toosimple_q.wakeups.pipe import WakeUp
from tests.acceptance.processes import ProcessTests, environment
from tests.app.tasks import echo
from tests.faults.sessions import wait_until_idle
from tests.support import wait_for

pushed = pytest.mark.skipif(
    "connection.vendor == 'mysql'", reason="MariaDB has no push of its own; Redis does it"
)


class HintTests(ProcessTests):
    def latency(self, worker_options=(), environ=None):
        """Return the seconds from a commit to the start of its task, worker idle, tick long."""
        with mock.patch.dict("os.environ", environ or {}):
            worker = self.worker("--no_schedules", "--tick=30", *worker_options)
        row = echo.queue()
        self.wait_for_state(row, "SUCCEEDED")
        wait_until_idle()
        moment = time.monotonic()
        row = echo.queue()
        self.wait_for_state(row, "SUCCEEDED", timeout=10)
        return time.monotonic() - moment, worker

    @pushed
    def test_an_idle_worker_starts_at_once(self):
        seconds, _ = self.latency()

        self.assertLess(seconds, 2)

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="LISTEN is PostgreSQL's")
    def test_what_came_before_it_listened_is_looked_for(self):
        wakeup = WakeUp()
        self.addCleanup(wakeup.close)
        hints = postgresql.PostgreSQLHints(wakeup, "default")
        self.addCleanup(hints.close)

        self.assertTrue(hints.wait(5))
        self.assertFalse(hints.wait(0.05))
        postgresql.send_hint(connection, wakeups.WORK)
        self.assertTrue(hints.wait(5))

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="NOTIFY is PostgreSQL's")
    def test_with_autocommit_off_the_caller_s_own_commit_still_waits_for_the_disk(self):
        transaction.set_autocommit(False)
        self.addCleanup(transaction.set_autocommit, True)
        self.addCleanup(transaction.rollback)

        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = 'on'")
            postgresql.send_hint(connection, wakeups.WORK)

            cursor.execute("SHOW synchronous_commit")
            self.assertEqual(cursor.fetchone(), ("on",))

    def test_a_process_with_more_than_a_thousand_open_files_waits_like_any_other(self):
        open_files(self, 1100)
        wakeup = WakeUp()
        self.addCleanup(wakeup.close)
        hints = wakeups.listen(wakeup, queue_database(), "default")
        self.addCleanup(hints.close)
        hints.wait(0)  # begins to listen, where that is done

        self.assertFalse(hints.wait(0.05))
        wakeup.set()
        self.assertTrue(hints.wait(5))

    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="LISTEN is PostgreSQL's")
    def test_the_connection_that_listens_is_not_taken_from_a_pool(self):
        pytest.importorskip("psycopg_pool")
        wakeup = WakeUp()
        self.addCleanup(wakeup.close)
        hints = postgresql.PostgreSQLHints(wakeup, "default")
        with mock.patch.dict(connection.settings_dict["OPTIONS"], {"pool": True}):
            hints.wait(5)
            self.addCleanup(hints.close)

        self.assertFalse(hasattr(hints.connection.connection, "_pool"))

    def test_without_hints_the_tick_finds_it(self):
        with mock.patch.dict("os.environ", environment() | {"TOOSIMPLEQ_TEST_NOTIFY": "off"}):
            self.worker("--no_schedules", "--tick=0.2")
            row = echo.queue()

            self.wait_for_state(row, "SUCCEEDED", timeout=5)

    def test_redis_carries_the_hint_where_its_url_is_set(self):
        url = "redis://127.0.0.1:6379/0"
        if not redis_answers(url):
            self.skipTest("no Redis on its standard port")
        with override_settings(TOOSIMPLEQ_REDIS_URL=url):
            seconds, _ = self.latency(environ={"TOOSIMPLEQ_TEST_REDIS_URL": url})

        self.assertLess(seconds, 2)

    def test_a_subscription_is_probed_so_that_a_lost_network_is_noticed(self):
        url = "redis://127.0.0.1:6379/0"
        if not redis_answers(url):
            self.skipTest("no Redis on its standard port")
        from django_toosimple_q.wakeups.redis import client

        with client(url).pubsub() as subscription:
            subscription.subscribe("nothing")
            option = subscription.connection._sock.getsockopt

            self.assertTrue(option(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            quiet, between, count = (
                option(socket.IPPROTO_TCP, one)
                for one in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
        self.assertLessEqual(quiet + between * count, 20)

    def test_a_redis_that_is_down_costs_one_warning_and_no_task(self):
        url = "redis://127.0.0.1:1/0"
        with override_settings(TOOSIMPLEQ_REDIS_URL=url):
            with mock.patch.dict("os.environ", {"TOOSIMPLEQ_TEST_REDIS_URL": url}):
                worker = self.worker("--no_schedules", "--tick=0.2")
            rows = [echo.queue() for _ in range(3)]

            for row in rows:
                self.wait_for_state(row, "SUCCEEDED")
            lost = "hints lost, polling until they are back: listener=redis"
            wait_for(lambda: lost in worker.log())
            self.assertEqual(worker.log().count(lost), 1)


class AnnounceTests(ProcessTests):
    def setUp(self):
        super().setUp()
        self.sent = mock.Mock()
        self.announcer = Announcer()

    def announce(self):
        self.announcer.announce(connection, self.sent)

    def test_hints_are_sent_after_the_commit_and_once(self):
        with transaction.atomic():
            for _ in range(5):
                self.announce()
            self.sent.assert_not_called()

        self.sent.assert_called_once()

    def test_none_is_sent_for_what_is_rolled_back(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            self.announce()
            raise ZeroDivisionError

        self.sent.assert_not_called()

    def test_many_calls_in_a_row_send_few(self):
        for _ in range(100):
            self.announce()

        self.assertEqual(self.sent.call_count, 1)

    def test_a_call_of_a_transaction_that_ends_after_the_quiet_is_announced(self):
        self.announce()
        with transaction.atomic():
            self.announce()
            self.announcer.sent -= QUIET_SECONDS

        self.assertEqual(self.sent.call_count, 2)

    def test_an_error_never_reaches_the_caller(self):
        self.sent.side_effect = OSError("gone")

        with self.assertLogs("toosimpleq", "WARNING"):
            self.announce()

    def test_that_they_are_refused_is_reported_once_for_each_time_they_fail(self):
        for refused in (True, True, False, True):
            self.sent.side_effect = OSError("refused") if refused else None
            self.announcer.sent = -QUIET_SECONDS
            told = self.assertLogs if refused else self.assertNoLogs
            if self.announcer.failing and refused:
                told = self.assertNoLogs
            with told("toosimpleq", "WARNING"):
                self.announce()

        self.assertEqual(self.sent.call_count, 4)

    def test_the_setting_switches_them_off(self):
        with override_settings(TOOSIMPLEQ_NOTIFY=False):
            self.announce()
            self.assertIs(type(wakeups.listen(mock.Mock(), "default", "postgresql")), wakeups.Hints)

        self.sent.assert_not_called()


def open_files(test, count):
    """Keep so many files open during a test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count * 2), hard))
    test.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    for _ in range(count):
        test.addCleanup(os.close, os.open(os.devnull, os.O_RDONLY))


def redis_answers(url):
    import redis

    try:
        return redis.Redis.from_url(url, socket_connect_timeout=1).ping()
    except redis.RedisError:
        return False
