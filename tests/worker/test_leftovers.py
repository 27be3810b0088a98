"""What odd code leaves in its thread and its process does not reach the next task or the worker."""

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.test import TransactionTestCase

from django_toosimple_q import signals
from django_toosimple_q.worker.background import BackgroundThread
from django_toosimple_q.worker.execution.process_state import ProcessState
from tests.app.models import Effect
from tests.support import isolate_registries, make_task, reload


@contextmanager
def block(ended: list[str]) -> Iterator[None]:
    with transaction.atomic():
        try:
            yield
        finally:
            ended.append("ended")


class LeftoverCase(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        # Whoever collects records keeps the exceptions.
        self.logger = logging.getLogger("toosimpleq")
        self.addCleanup(self.logger.setLevel, self.logger.level)
        self.logger.setLevel(logging.CRITICAL)

    def run_tasks(self, *functions, **options):
        """Run tasks one after the other in one worker; return their rows."""
        rows = [
            make_task(f"t{number}", function, **options).queue()
            for number, function in enumerate(functions)
        ]
        call_command("worker", "--until_done", "-v0")
        return [reload(row) for row in rows]

    def assert_next_runs(self, function, then=lambda: Effect.objects.count(), **options):
        rows = self.run_tasks(function, then, **options)
        self.assertEqual(
            [row.state for row in rows], ["SUCCEEDED"] * 2, [row.error for row in rows]
        )
        return rows[1].result


class ProcessTests(LeftoverCase):
    def test_things_of_another_kind_in_place_of_the_interpreter_s_are_taken_away(self):
        def replace(module, name, value):
            self.addCleanup(setattr, module, name, getattr(module, name))
            return lambda: setattr(module, name, value)

        for module, name, value in (
            (os, "environ", {"PATH": "/elsewhere"}),
            (os, "environ", os.environ.copy()),
            (os, "environ", None),
            (sys, "path", tuple(sys.path)),
            (sys, "path", None),
            (warnings, "filters", tuple(warnings.filters)),
        ):
            with self.subTest(name, value=type(value)):
                before = getattr(module, name)
                isolate_registries(self)

                self.assert_next_runs(replace(module, name, value))

                self.assertIs(getattr(module, name), before)

    def test_a_project_may_have_an_environment_of_its_own(self):
        with mock.patch.object(os, "environ", dict(os.environ)):
            self.assert_next_runs(lambda: os.environ.update(TOOSIMPLEQ_NEW="1"))
            self.assertNotIn("TOOSIMPLEQ_NEW", os.environ)

    def test_an_event_loop_that_still_counts_as_running_keeps_nobody_from_querying(self):
        self.addCleanup(asyncio._set_running_loop, None)
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        for atomic in (False, True):
            with self.subTest(atomic=atomic):
                isolate_registries(self)
                self.assert_next_runs(lambda: asyncio._set_running_loop(loop), atomic=atomic)

    def test_it_stays_where_the_project_wants_to_query_within_one(self):
        self.addCleanup(asyncio._set_running_loop, None)
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        with mock.patch.dict(os.environ, DJANGO_ALLOW_ASYNC_UNSAFE="1"):
            state = ProcessState()
            asyncio._set_running_loop(loop)

            state.put_back()

            self.assertIs(asyncio._get_running_loop(), loop)

    def test_a_clock_that_stands_still_stops_no_heartbeat(self):
        beats = threading.Semaphore(0)
        for busy in (False, True):
            with self.subTest(busy=busy):
                thread = BackgroundThread(
                    *("still", 0.02, beats.release, lambda: None, lambda: busy, lambda: 0.005),  # noqa: B023
                )
                with mock.patch("time.monotonic", return_value=time.monotonic()), thread.running():
                    self.assertTrue(all(beats.acquire(timeout=10) for _ in range(3)))


class EquipmentTests(LeftoverCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(connection.execute_wrappers.clear)

    def refuse(self, *args):
        raise RuntimeError("no queries here")

    def test_a_clock_that_was_put_in_the_place_of_the_real_one_is_taken_away(self):
        names = ("time", "monotonic", "perf_counter", "sleep")
        before = [getattr(time, name) for name in names]

        def leave():
            for name in names:
                patch = mock.patch.object(time, name, return_value=0.0)
                patch.start()
                self.addCleanup(patch.stop)

        self.assert_next_runs(leave, lambda: time.sleep(0.001))

        self.assertEqual([getattr(time, name) for name in names], before)

    def test_a_wrapper_that_a_task_leaves_around_statements_meets_no_other(self):
        self.assert_next_runs(lambda: connection.execute_wrappers.append(self.refuse))

        self.assertEqual(connection.execute_wrappers, [])

    def test_nor_in_a_task_that_runs_a_worker_itself(self):
        def pass_on(execute, *args):
            return execute(*args)

        def outer():
            with connection.execute_wrapper(pass_on):
                row = make_task("inner", lambda: None).queue()
                call_command("worker", "--until_done", "-v0")
                return reload(row).state, connection.execute_wrappers == [pass_on]

        [row] = self.run_tasks(outer)

        self.assertEqual((row.state, row.result), ("SUCCEEDED", ("SUCCEEDED", True)), row.error)

    def test_those_that_receivers_put_around_a_new_session_stay(self):
        def pass_on(execute, *args):
            return execute(*args)

        def receive(connection, **kwargs):
            if pass_on not in connection.execute_wrappers:
                connection.execute_wrappers.append(pass_on)

        connection_created.connect(receive)
        self.addCleanup(connection_created.disconnect, receive)

        def reconnect():
            connection.close()
            Effect.objects.count()

        left = self.assert_next_runs(
            reconnect, lambda: [one is pass_on for one in connection.execute_wrappers]
        )

        self.assertEqual(left, [True])

    def test_queries_are_not_kept_because_a_task_wanted_to_see_its_own(self):
        def debug():
            connection.force_debug_cursor = True

        self.assertFalse(self.assert_next_runs(debug, lambda: connection.force_debug_cursor))


class ConnectionTests(LeftoverCase):
    def test_what_runs_as_the_exception_of_a_task_is_forgotten_is_no_other_task_s(self):
        class Leaves:
            def __del__(self):
                transaction.set_autocommit(False)

        def fail():
            held = Leaves()
            raise ValueError(type(held).__name__)

        rows = self.run_tasks(fail, lambda: transaction.get_autocommit())

        self.assertEqual([row.state for row in rows], ["FAILED", "SUCCEEDED"], rows[1].error)
        self.assertIs(rows[1].result, True)

    def test_blocks_that_nothing_refers_to_any_more_end_before_the_queue_s_own(self):
        ended = []

        def generate():
            with block(ended):
                yield

        def leave(fails=False):
            held = generate()
            next(held)
            ring = [held]
            ring.append(ring)
            if fails:
                try:
                    raise ValueError("no")
                except ValueError as error:
                    ring.append(error)
                    raise

        gc.disable()
        self.addCleanup(gc.enable)
        for fails, atomic in ((False, False), (True, False), (False, True)):
            with self.subTest(fails=fails, atomic=atomic):
                isolate_registries(self)
                ended.clear()
                rows = self.run_tasks(lambda: leave(fails), lambda: list(ended), atomic=atomic)  # noqa: B023
                self.assertEqual([row.state for row in rows], ["FAILED", "SUCCEEDED"])
                self.assertEqual(rows[1].result, ["ended"])

    def test_garbage_is_collected_for_them_only(self):
        connection.close()
        with mock.patch.object(gc, "collect", wraps=gc.collect) as collect:
            self.run_tasks(lambda: None, lambda: Effect.objects.count(), lambda: connection.close())

        self.assertFalse(collect.called)


class LoggingTests(LeftoverCase):
    def test_log_handlers_that_raise_do_not_end_the_worker(self):
        class Raises(logging.Handler):
            def handle(self, record):
                raise ValueError("no server to log to")

        def receive(**kwargs):
            raise RuntimeError("a receiver")

        handler = Raises()
        logging.getLogger().addHandler(handler)
        self.addCleanup(logging.getLogger().removeHandler, handler)
        signals.task_finished.connect(receive)
        self.addCleanup(signals.task_finished.disconnect, receive)
        self.logger.setLevel(logging.DEBUG)

        with mock.patch.object(sys, "__stderr__", open(os.devnull, "w")) as stream:
            self.addCleanup(stream.close)
            self.assert_next_runs(lambda: None)
