"""What lasts for one run: context variables, queries of DEBUG, caches, connections of threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from inspect import isfunction
from unittest import mock

from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.db import connection, connections
from django.test import TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from django_toosimple_q import signals
from django_toosimple_q.execution import current_task
from django_toosimple_q.models import TaskExec
from django_toosimple_q.worker.execution.process_state import ProcessState
from django_toosimple_q.worker.execution.thread_connections import thread_connections
from tests.acceptance.processes import ProcessTests
from tests.app.models import Effect
from tests.app.tasks import count_effects, count_queries, untidy, use_threads
from tests.support import isolate_registries, make_task, reload, wait_for

request_id: ContextVar[str] = ContextVar("request_id", default="")


class Closing(LocMemCache):
    """A cache that counts how often it is closed, and may fail to."""

    closed: list[str] = []
    error: Exception | None = None

    def close(self, **kwargs):
        self.closed.append(self.get("key"))
        if self.error is not None:
            raise self.error


CLOSING = {"default": {"BACKEND": f"{__name__}.Closing", "LOCATION": __name__}}


class RunCase(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def run_tasks(self, func, count=1, name="t", **options):
        # A method takes no attributes.
        task = make_task(name, func if isfunction(func) else lambda: func(), **options)
        rows = [task.queue() for _ in range(count)]
        call_command("worker", "--until_done", "--no_schedules", "-v0")
        return [reload(row) for row in rows]


class ContextTests(RunCase):
    """A receiver of `task_started` sets a context for the run; no other run sees it."""

    def setUp(self):
        super().setUp()
        self.seen = []
        for signal, receiver in (
            (signals.task_started, self.started),
            (signals.task_finished, self.finished),
        ):
            signal.connect(receiver)
            self.addCleanup(signal.disconnect, receiver)

    def started(self, claimed, worker, **kwargs):
        self.seen.append((request_id.get(), current_task() is claimed, bool(worker)))
        request_id.set(f"{request_id.get()}{claimed.pk}")

    def finished(self, claimed, outcome, worker, **kwargs):
        self.seen.append((request_id.get(), current_task() is claimed, bool(worker)))

    def assert_each_run_has_its_own(self, func, **options):
        rows = self.run_tasks(func, 3, **options)

        for row in rows:
            self.assertEqual((row.state, row.result), ("SUCCEEDED", str(row.pk)), row.error)
        expected = [one for row in rows for one in (("", True, True), (f"{row.pk}+", True, True))]
        self.assertEqual(self.seen, expected)
        self.assertEqual((request_id.get(), current_task()), ("", None))

    def read(self):
        found = request_id.get()
        request_id.set(f"{found}+")
        return found

    def test_the_task_and_both_signals_share_it(self):
        self.assert_each_run_has_its_own(self.read)

    def test_so_does_an_atomic_task(self):
        self.assert_each_run_has_its_own(self.read, atomic=True)

    def test_so_does_a_coroutine(self):
        async def read():
            return self.read()

        self.assert_each_run_has_its_own(read)

    def test_the_exception_is_there_when_only_the_commit_fails(self):
        errors = []
        receiver = mock.Mock(side_effect=lambda outcome, **kwargs: errors.append(outcome.exception))
        signals.task_finished.connect(receiver)
        self.addCleanup(signals.task_finished.disconnect, receiver)

        def leave():
            connection.set_rollback(True)

        [row] = self.run_tasks(leave, atomic=True)

        self.assertEqual(row.state, "FAILED")
        self.assertEqual([type(one).__name__ for one in errors], ["LeftItsTransaction"])


@override_settings(DEBUG=True)
class QueryTests(RunCase):
    def test_a_run_begins_without_those_of_the_last(self):
        def query():
            before = len(connection.queries)
            Effect.objects.count()
            return before

        rows = self.run_tasks(query, 3) + self.run_tasks(query, 3, "atomic", atomic=True)

        # An atomic task finds the statement that began its transaction.
        self.assertTrue(all(row.result <= 1 for row in rows), [row.result for row in rows])

    def test_those_that_a_test_counts_are_kept(self):
        with CaptureQueriesContext(connection) as captured:
            self.run_tasks(lambda: Effect.objects.count(), 3)

        counts = [one for one in captured.captured_queries if "app_effect" in one["sql"]]
        self.assertEqual(len(counts), 3)


class CacheTests(RunCase):
    def setUp(self):
        super().setUp()
        Closing.closed, Closing.error = [], None

    def use(self):
        caches["default"].set("key", "used")

    @override_settings(CACHES=CLOSING)
    def test_those_that_a_task_used_are_closed(self):
        self.run_tasks(self.use, 2)
        self.run_tasks(lambda: None, name="without")

        self.assertEqual(Closing.closed, ["used", "used"])

    @override_settings(CACHES=CLOSING)
    def test_one_that_cannot_be_closed_harms_nobody(self):
        Closing.error = OSError("gone")

        rows = self.run_tasks(self.use, 2)

        self.assertEqual([row.state for row in rows], ["SUCCEEDED", "SUCCEEDED"])

    def test_no_task_pays_for_caches_that_have_nothing_to_close(self):
        self.assertFalse(ProcessState().caches_close)
        with override_settings(CACHES=CLOSING):
            self.assertTrue(ProcessState().caches_close)
        with override_settings(CACHES={"default": {"BACKEND": "no.such"}}):
            self.assertFalse(ProcessState().caches_close)


class ThreadConnectionTests(RunCase):
    def setUp(self):
        super().setUp()
        self.opened = []

    def query(self):
        Effect.objects.count()
        self.opened.append(connections["default"])

    def assert_closed(self, rows, count):
        self.assertEqual({row.state for row in rows}, {"SUCCEEDED"}, rows[0].error)
        self.assertEqual(len(self.opened), count)
        self.assertEqual([one for one in self.opened if one.connection is not None], [])

    def test_those_of_threads_that_ended_are_closed(self):
        def work():
            with ThreadPoolExecutor(2) as pool:
                barrier = threading.Barrier(2)
                list(pool.map(lambda _: (barrier.wait(), self.query()), range(2)))

        self.assert_closed(self.run_tasks(work, 2), 4)

    def test_those_of_a_coroutine_s_threads_as_well(self):
        async def work():
            await sync_to_async(self.query, thread_sensitive=False)()

        self.assert_closed(self.run_tasks(work, 2), 2)

    def test_those_that_were_in_a_transaction_as_well(self):
        def leave():
            connections["default"].set_autocommit(False)
            self.query()

        def work():
            thread = threading.Thread(target=leave)
            thread.start()
            thread.join()

        self.assert_closed(self.run_tasks(work), 1)

    def test_that_of_a_thread_that_runs_on_is_left_to_it(self):
        ends = threading.Event()
        began = threading.Event()

        def go_on():
            self.query()
            began.set()
            ends.wait(20)
            self.query()
            connections.close_all()

        def work():
            thread = threading.Thread(target=go_on)
            threads.append(thread)
            thread.start()
            began.wait(20)

        threads: list[threading.Thread] = []
        self.run_tasks(work)
        self.assertIsNotNone(self.opened[0].connection)

        ends.set()
        threads[0].join()
        self.run_tasks(lambda: None, name="next")

        self.assertEqual(len(self.opened), 2)

    def test_those_of_threads_without_a_worker_are_not_kept(self):
        self.run_tasks(lambda: None)
        ends = threading.Event()

        def go_on():
            self.query()
            ends.wait(20)
            connections.close_all()

        thread = threading.Thread(target=go_on)
        thread.start()
        wait_for(lambda: self.opened)

        self.assertEqual(thread_connections.opened, {})
        ends.set()
        thread.join()


class WorkerTests(ProcessTests):
    """The same in real workers, whose loop and threads have connections of their own."""

    def test_sessions_of_threads_that_ended_are_gone_from_the_server(self):
        if connection.vendor == "sqlite":
            self.skipTest("SQLite has no server that counts its sessions")
        before = sessions()
        self.worker("--threads=2")
        for _ in range(20):
            use_threads.queue(4)
        self.wait_until_drained()

        self.assertEqual(set(TaskExec.objects.values_list("state", flat=True)), {"SUCCEEDED"})
        # Three of the loop and of the threads beside it, one that listens, two of the tasks.
        wait_for(lambda: sessions() - before <= 8)

    def test_no_thread_of_a_worker_keeps_the_queries_of_debug(self):
        for options in ((), ("--threads=2",)):
            with self.subTest(options=options):
                worker = self.worker(*options, module="tests.app.debug_site")
                count_effects.queue_many([()] * 60)
                self.wait_until_drained()
                # It looks at all objects of the process, which takes its time.
                row = count_queries.queue()
                self.wait_until_drained()

                self.assertLess(reload(row).result, 60)
                worker.end()


class FreshProcessTests(ProcessTests):
    def test_a_process_of_one_task_leaves_nothing_to_the_next(self):
        self.worker("--processes=2", "--max_tasks=1", online=False)
        rows = [untidy.queue() for _ in range(5)]

        self.wait_until_drained(60)

        results = [reload(row).result for row in rows]
        self.assertEqual(len({pid for pid, _, _ in results}), 5)
        self.assertEqual(len({tuple(left) for _, *left in results}), 1, results)


def sessions():
    """Return how many sessions the server has on this database."""
    sql = {
        "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()",
        "mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()",
    }
    with connection.cursor() as cursor:
        cursor.execute(sql[connection.vendor])
        return cursor.fetchone()[0]
