"""Whoever waits for a call gets its last attempt, soon, or is told why not."""

import asyncio
import threading
import time
from contextlib import contextmanager
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction  # noqa: F401  (skipif reads it)
from django.test import override_settings

from django_toosimple_q import waiting
from django_toosimple_q.exceptions import ResultGone
from django_toosimple_q.execution import Claimed, running
from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests, since
from tests.acceptance.test_hints import redis_answers
from tests.app.tasks import echo, fail_once, sleep
from tests.support import wait_for

REDIS = "redis://127.0.0.1:6379/0"


class WaitingTests(ProcessTests):
    def setUp(self):
        super().setUp()
        self.addCleanup(wait_for, self.nobody_listens)

    def nobody_listens(self):
        return all(thread.name != "toosimpleq-listener" for thread in threading.enumerate())

    def test_the_finished_row_is_returned(self):
        self.worker("--no_schedules")

        done = echo.queue("hello").wait_done(10)

        self.assertEqual((done.state, done.result), ("SUCCEEDED", "hello"))

    def test_retries_are_followed_to_the_last_attempt(self):
        self.worker("--no_schedules")
        row = fail_once.queue(self.ledger)

        done = row.wait_done(20)

        self.assertEqual((done.state, done.attempt), ("SUCCEEDED", 2))
        self.assertEqual(done.pk, self.last_of(row).pk)

    def test_the_time_may_run_out(self):
        began = time.monotonic()

        self.assertIsNone(echo.queue().wait_done(0.3))

        self.assertGreater(since(began), 0.29)
        self.assertLess(since(began), 5)

    def test_a_row_that_ended_needs_no_waiting(self):
        self.worker("--no_schedules")
        row = echo.queue()
        self.wait_for_state(row, "SUCCEEDED")

        self.assertEqual(row.wait_done(0).state, "SUCCEEDED")

    def test_a_cancelled_call_has_ended(self):
        row = echo.queue()
        threading.Timer(0.2, self.in_thread(row.cancel)).start()

        self.assertEqual(row.wait_done(20).state, "INTERRUPTED")

    def test_a_deleted_row_says_so(self):
        row = echo.queue()
        type(row).objects.all().delete()

        with self.assertRaisesRegex(ResultGone, f"task {row.pk} has no row.*TOOSIMPLEQ_RETENTION"):
            row.wait_done(5)

    @pytest.mark.skipif("connection.vendor == 'mysql'", reason="no push without Redis")
    def test_it_is_woken_whichever_way_the_call_ends(self):
        self.assert_woken()

    def test_it_is_woken_over_redis(self):
        if not redis_answers(REDIS):
            self.skipTest("no Redis on its standard port")
        with override_settings(TOOSIMPLEQ_REDIS_URL=REDIS):
            self.assert_woken(TOOSIMPLEQ_TEST_REDIS_URL=REDIS)

    def assert_woken(self, **environment):
        """Wait with looks so rare that only being told ends it."""
        with mock.patch.dict("os.environ", environment):
            self.worker("--no_schedules")
        row = sleep.queue(0.5)
        with mock.patch.object(waiting, "POLL_ANYWAY_SECONDS", 60):
            began = time.monotonic()
            self.assertEqual(row.wait_done(30).state, "SUCCEEDED")
        self.assertLess(since(began), 10)

    def test_without_hints_it_looks_again_and_again(self):
        self.worker("--no_schedules")
        row = sleep.queue(0.3)

        with override_settings(TOOSIMPLEQ_NOTIFY=False):
            self.assertEqual(row.wait_done(20).state, "SUCCEEDED")

    @pytest.mark.skipif("connection.vendor == 'mysql'", reason="no push without Redis")
    def test_many_who_wait_share_one_listener(self):
        self.worker("--no_schedules")
        rows = [sleep.queue(0.05) for _ in range(8)]
        found = []
        threads = [
            threading.Thread(target=self.in_thread(lambda row=row: found.append(row.wait_done(20))))
            for row in rows
        ]
        for thread in threads:
            thread.start()
        names = [thread.name for thread in threading.enumerate()]
        for thread in threads:
            thread.join()

        self.assertLessEqual(names.count("toosimpleq-listener"), 1)
        self.assertEqual([row.state for row in found], ["SUCCEEDED"] * 8)

    def in_thread(self, call):
        """Return a call that closes what its thread has opened."""

        def run():
            try:
                call()
            finally:
                connections.close_all()

        return run

    def test_async_code_waits_without_a_thread(self):
        self.worker("--no_schedules")
        rows = [sleep.queue(0.1) for _ in range(4)]

        async def wait_for_all():
            return await asyncio.gather(*(row.await_done(20) for row in rows))

        done = run_async(wait_for_all())

        self.assertEqual([row.state for row in done], ["SUCCEEDED"] * 4)

    def test_async_time_may_run_out(self):
        self.assertIsNone(run_async(echo.queue().await_done(0.2)))

    def test_a_transaction_that_hides_the_row_is_warned_of(self):
        with transaction.atomic():
            row = echo.queue()
            with self.assertWarnsRegex(RuntimeWarning, "inside a transaction") as caught:
                self.assertIsNone(row.wait_done(0))
        self.assertEqual(caught.filename, __file__)

    def test_a_task_that_may_wait_for_itself_is_warned_of(self):
        row = echo.queue()
        with inside_a_task(), self.assertWarnsRegex(RuntimeWarning, "inside a task"):
            self.assertIsNone(row.wait_done(0))

    def test_a_row_of_an_unknown_name_is_returned_with_what_to_import(self):
        row = TaskExec.objects.create(task_name="shop.tasks.pay")
        drain = self.worker("--until_done", "--no_schedules", online=False)

        ended = row.wait_done(20)

        self.assertEqual(drain.wait(), 0)
        self.assertEqual((ended.state, ended.finished), ("INVALID", None))
        self.assertIn("no worker knows the task 'shop.tasks.pay'", ended.error)
        self.assertIn("Import the module 'shop.tasks'", ended.error)


def run_async(waiting_for):
    """Run a coroutine, and close what its database calls have opened, as a server does."""

    async def run():
        try:
            return await waiting_for
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(run())


@contextmanager
def inside_a_task():
    token = running.set(mock.Mock(spec=Claimed))
    try:
        yield
    finally:
        running.reset(token)
