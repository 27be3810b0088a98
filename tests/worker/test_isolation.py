"""A task leaves nothing behind: the next one, and the worker, start clean."""

import asyncio
import decimal
import gc
import importlib
import locale
import logging
import logging.config
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import SimpleTestCase, TransactionTestCase
from django.utils import timezone, translation

from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.worker.execution.isolation import Isolation, is_aged
from django_toosimple_q.worker.execution.process_state import ProcessState
from tests.app.models import Effect
from tests.support import isolate_registries, make_task, reload

open_blocks = []


class IsolationTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def run_task(self, func, name="t", **options):
        row = make_task(name, func, **options).queue()
        call_command("worker", "--until_done", "-v0")
        return reload(row)

    def test_a_transaction_left_open_is_rolled_back_and_reported(self):
        def leave():
            block = transaction.atomic()
            block.__enter__()
            open_blocks.append(block)
            Effect.objects.create(key="lost")

        row = self.run_task(leave)

        self.assertEqual((row.state, Effect.objects.count()), ("FAILED", 0))
        self.assertIn("it left a transaction open, now rolled back", row.error)
        self.assertFalse(connection.in_atomic_block)

    def test_a_block_left_open_in_an_atomic_task_is_rolled_back(self):
        def leave():
            for _ in range(2):
                block = transaction.atomic()
                block.__enter__()
                open_blocks.append(block)
            Effect.objects.create(key="lost")

        row = self.run_task(leave, atomic=True)
        after = self.run_task(lambda: Effect.objects.create(key="kept").key, "next", atomic=True)

        self.assertEqual((row.state, after.state), ("FAILED", "SUCCEEDED"))
        self.assertIn("it left a transaction open, now rolled back", row.error)
        self.assertEqual(list(Effect.objects.values_list("key", flat=True)), ["kept"])
        self.assertFalse(connection.in_atomic_block)
        with transaction.atomic(durable=True):
            self.assertEqual(connection.savepoint_ids, [])

    def test_a_block_left_open_inside_a_caller_s_transaction_is_rolled_back(self):
        def leave():
            transaction.atomic().__enter__()
            Effect.objects.create(key="lost")

        with transaction.atomic():
            row = self.run_task(leave)
            self.assertEqual((row.state, Effect.objects.count()), ("FAILED", 0))

    def test_a_transaction_left_open_on_a_connection_that_the_task_opened_is_rolled_back(self):
        def run():
            isolation = Isolation()
            open_blocks.append(transaction.atomic())
            open_blocks[-1].__enter__()
            return isolation.restore(), connection.in_atomic_block

        with ThreadPoolExecutor(1) as threads:
            self.assertEqual(threads.submit(run).result(), (True, False))

    def test_what_was_planned_for_the_commit_of_a_transaction_left_open_never_happens(self):
        happened = []

        def leave():
            block = transaction.atomic()
            block.__enter__()
            open_blocks.append(block)
            transaction.on_commit(lambda: happened.append("planned"))

        self.run_task(leave)
        with transaction.atomic():
            transaction.on_commit(lambda: happened.append("later"))

        self.assertEqual(happened, ["later"])

    def test_a_task_that_leaves_its_folder_and_removes_it_harms_nobody(self):
        with tempfile.TemporaryDirectory() as name:
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(name)

            def leave():
                os.chdir("/")
                os.rmdir(name)

            row = self.run_task(leave)
            os.mkdir(name)

        self.assertEqual(row.state, "SUCCEEDED")

    def test_autocommit_switched_off_is_switched_on_again(self):
        def leave():
            transaction.set_autocommit(False)
            Effect.objects.create(key="lost")

        row = self.run_task(leave)
        after = self.run_task(lambda: Effect.objects.create(key="kept").key, name="next")

        self.assertEqual((row.state, after.state), ("FAILED", "SUCCEEDED"))
        self.assertEqual(list(Effect.objects.values_list("key", flat=True)), ["kept"])

    def test_autocommit_is_switched_on_again_on_a_connection_that_was_closed_before(self):
        connection.close()
        isolation = Isolation()
        transaction.set_autocommit(False)
        Effect.objects.create(key="lost")

        self.assertTrue(isolation.restore())

        self.assertTrue(transaction.get_autocommit())
        self.assertEqual(Effect.objects.count(), 0)

    def test_a_connection_that_a_task_broke_is_not_the_next_one_s(self):
        def break_it():
            Effect.objects.count()
            # So that the driver has nothing left to close with.
            connection.connection.close()
            try:
                Effect.objects.count()
            except Exception as error:
                return type(error).__name__

        row = self.run_task(break_it)
        after = self.run_task(lambda: Effect.objects.count(), name="next")

        self.assertEqual((row.state, after.state, after.result), ("SUCCEEDED", "SUCCEEDED", 0))

    def test_zone_language_folder_umask_and_signal_handlers_are_put_back(self):
        before = (
            timezone.get_current_timezone(),
            translation.get_language(),
            os.getcwd(),
            signal.getsignal(signal.SIGTERM),
        )
        mask = os.umask(0o022)
        self.addCleanup(os.umask, mask)

        def change():
            timezone.activate("Asia/Tokyo")
            translation.activate("de")
            os.chdir(tempfile.gettempdir())
            os.umask(0o077)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

        row = self.run_task(change)

        self.assertEqual(row.state, "SUCCEEDED", row.error)
        after = (
            timezone.get_current_timezone(),
            translation.get_language(),
            os.getcwd(),
            signal.getsignal(signal.SIGTERM),
        )
        self.assertEqual(after, before)
        self.assertEqual(os.umask(0o022), 0o022)

    def test_a_folder_that_is_gone_harms_nobody(self):
        def vanish():
            folder = tempfile.mkdtemp()
            os.chdir(folder)
            os.rmdir(folder)

        self.assertEqual(self.run_task(vanish).state, "SUCCEEDED")
        self.assertEqual(TaskExec.objects.count(), 1)
        os.getcwd()

    # The state of the process

    def assert_put_back(self, change, read):
        """Assert that what `change` does is not what the next task reads."""
        before = read()

        row = self.run_task(change, "change")
        after = self.run_task(read, "read")

        self.assertEqual(row.state, "SUCCEEDED", row.error)
        self.assertEqual((after.state, after.result), ("SUCCEEDED", before), after.error)
        self.assertEqual(read(), before)

    def test_the_precision_of_decimals_is_the_next_task_s_own(self):
        # Whether the context exists already decides whether a copied one shares it.
        decimal.getcontext()

        def change():
            decimal.getcontext().prec = 3
            decimal.getcontext().traps[decimal.Inexact] = True

        self.assert_put_back(change, lambda: decimal.Decimal("12345.67") + decimal.Decimal("0.01"))

    def test_so_it_is_for_a_coroutine(self):
        decimal.getcontext()

        async def change():
            decimal.getcontext().prec = 3

        self.assert_put_back(change, lambda: decimal.Decimal("12345.67") + decimal.Decimal("0.01"))

    def test_variables_of_the_environment_are_put_back(self):
        os.environ["TOOSIMPLEQ_KEPT"] = os.environ["TOOSIMPLEQ_CHANGED"] = "before"
        self.addCleanup(os.environ.pop, "TOOSIMPLEQ_KEPT")
        self.addCleanup(os.environ.pop, "TOOSIMPLEQ_CHANGED")

        def change():
            del os.environ["TOOSIMPLEQ_KEPT"]
            os.environ.update(TOOSIMPLEQ_CHANGED="after", TOOSIMPLEQ_NEW="é", TZ="Asia/Tokyo")
            time.tzset()

        self.assert_put_back(change, lambda: (dict(os.environ), time.tzname))

    def test_warnings_levels_and_the_search_path_of_modules_are_put_back(self):
        logger = logging.getLogger("tests.isolation")
        logger.setLevel(logging.INFO)
        self.addCleanup(logger.setLevel, logging.NOTSET)

        def change():
            warnings.simplefilter("ignore")
            logger.setLevel(logging.CRITICAL)
            logging.getLogger("tests.isolation.new").setLevel(logging.CRITICAL)
            logging.getLogger().setLevel(logging.CRITICAL)
            logging.disable(logging.CRITICAL)
            sys.path.insert(0, "/elsewhere")

        def read():
            names = ("tests.isolation", "tests.isolation.new", None)
            return (
                [str(entry) for entry in warnings.filters],
                [logging.getLogger(name).level for name in names],
                logging.root.manager.disable,
                list(sys.path),
            )

        self.assert_put_back(change, read)

    def test_so_is_the_level_of_a_logger_that_a_task_takes_away_or_a_library_disables(self):
        logger = logging.getLogger("tests.isolation")
        logger.setLevel(logging.INFO)
        self.addCleanup(logger.setLevel, logging.NOTSET)

        def read():
            return logger.level, logger.disabled

        self.assert_put_back(lambda: logger.setLevel(logging.NOTSET), read)
        tasks_registry.clear()
        self.assert_put_back(lambda: logging.config.dictConfig({"version": 1}), read)

    def test_the_disposition_of_every_signal_is_put_back(self):
        numbers = [one for one in signal.valid_signals() if one <= 31 and one not in (9, 19)]
        before = [signal.getsignal(number) for number in numbers]

        def change():
            for number in numbers:
                signal.signal(number, lambda *args: None)

        row = self.run_task(change)

        self.assertEqual(row.state, "SUCCEEDED", row.error)
        self.assertEqual([signal.getsignal(number) for number in numbers], before)

    def test_a_command_fails_for_a_task_after_one_that_ignores_sigchld(self):
        def ignore():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)

        self.run_task(ignore)
        after = self.run_task(lambda: subprocess.run(["false"]).returncode, name="next")

        self.assertEqual(after.result, 1)

    def test_timers_are_stopped_before_their_handlers_are_put_back(self):
        def start():
            for timer, number in (
                (signal.ITIMER_VIRTUAL, signal.SIGVTALRM),
                (signal.ITIMER_PROF, signal.SIGPROF),
            ):
                signal.signal(number, lambda *args: None)
                signal.setitimer(timer, 100, 50)

        row = self.run_task(start)

        self.assertEqual(row.state, "SUCCEEDED", row.error)
        for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            self.assertEqual(signal.getitimer(timer), (0.0, 0.0))

    def test_a_timer_without_a_handler_is_stopped_with_its_batch(self):
        self.run_task(lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 100) and None)

        self.assertEqual(signal.getitimer(signal.ITIMER_VIRTUAL), (0.0, 0.0))

    def test_a_timer_that_ran_before_runs_on(self):
        before = signal.signal(signal.SIGPROF, lambda *args: None)
        self.addCleanup(signal.signal, signal.SIGPROF, before)
        signal.setitimer(signal.ITIMER_PROF, 1000, 500)
        self.addCleanup(signal.setitimer, signal.ITIMER_PROF, 0)

        self.run_task(lambda: None)
        self.assertEqual(signal.getitimer(signal.ITIMER_PROF)[1], 500)
        self.run_task(lambda: signal.setitimer(signal.ITIMER_PROF, 0) and None, name="stop")

        self.assertEqual(signal.getitimer(signal.ITIMER_PROF)[1], 500)

    def test_an_alarm_that_a_task_leaves_interrupts_no_other(self):
        fired = []

        def start():
            signal.signal(signal.SIGALRM, lambda *args: fired.append(1))
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)

        self.run_task(start)
        fired.clear()
        after = self.run_task(lambda: time.sleep(0.3), name="next", timeout=20)

        self.assertEqual((after.state, fired), ("SUCCEEDED", []))
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL), (0.0, 0.0))

    def test_a_timer_that_a_thread_of_a_pool_leaves_is_stopped(self):
        def run():
            process = ProcessState(main_thread=False)
            signal.setitimer(signal.ITIMER_REAL, 100)
            process.put_back_after_batch()
            return signal.getitimer(signal.ITIMER_REAL)

        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        with ThreadPoolExecutor(1) as threads:
            self.assertEqual(threads.submit(run).result(), (0.0, 0.0))

    def test_arriving_signals_are_written_where_the_worker_reads_them(self):
        pipe = socket.socketpair()
        for end in pipe:
            end.setblocking(False)
            self.addCleanup(end.close)
        self.addCleanup(signal.set_wakeup_fd, signal.set_wakeup_fd(pipe[0].fileno()))
        process = ProcessState()

        async def handle():
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: None)

        asyncio.run(handle())
        process.put_back_after_batch()

        self.assertEqual(signal.set_wakeup_fd(pipe[0].fileno()), pipe[0].fileno())

    def test_so_are_the_interpreter_s_limits(self):
        def change():
            socket.setdefaulttimeout(0.001)
            sys.setrecursionlimit(500)
            gc.disable()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            locale.setlocale(locale.LC_ALL, "C.UTF-8" if read()[-1] == "C" else "C")

        def read():
            return (
                socket.getdefaulttimeout(),
                sys.getrecursionlimit(),
                gc.isenabled(),
                sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
                locale.setlocale(locale.LC_ALL),
            )

        self.assert_put_back(change, read)

    def test_what_a_module_sets_when_a_task_imports_it_stays(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        Path(folder, "toosimpleq_imported.py").write_text(
            "import os\nos.environ['TOOSIMPLEQ_IMPORTED'] = 'yes'\n"
        )
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        self.addCleanup(os.environ.pop, "TOOSIMPLEQ_IMPORTED", None)
        self.addCleanup(sys.modules.pop, "toosimpleq_imported", None)

        self.run_task(lambda: importlib.import_module("toosimpleq_imported") and None, "import")
        after = self.run_task(lambda: os.environ.get("TOOSIMPLEQ_IMPORTED"), "read")

        self.assertEqual(after.result, "yes")


class AgeTests(SimpleTestCase):
    def is_aged(self, max_age, close_at, now=100.0):
        connection = mock.Mock(settings_dict={"CONN_MAX_AGE": max_age}, close_at=close_at)
        with mock.patch("time.monotonic", return_value=now):
            return is_aged(connection)

    def test_a_connection_is_closed_that_has_lived_for_its_conn_max_age(self):
        self.assertTrue(self.is_aged(60, 100.0))
        self.assertFalse(self.is_aged(60, 100.1))

    def test_one_that_closes_after_each_request_or_never_stays(self):
        self.assertFalse(self.is_aged(0, 99.0))
        self.assertFalse(self.is_aged(None, None))


class InMemoryTests(SimpleTestCase):
    """What tests of a project run on. Django does not close such a connection: it would be gone."""

    databases = {"memory"}

    @classmethod
    def setUpClass(cls):
        defaults = connections["default"].settings_dict
        engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {}}
        cls.enterClassContext(mock.patch.dict(connections.settings, memory=defaults | engine))
        super().setUpClass()

    def setUp(self):
        self.memory = connections["memory"]
        self.addCleanup(self.end)
        self.execute("CREATE TABLE shop (name text)")

    def end(self):
        self.memory.connection.close()
        del connections["memory"]

    def execute(self, sql):
        with self.memory.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def leave_open(self, happened):
        open_blocks.append(transaction.atomic(using="memory"))
        open_blocks[-1].__enter__()
        self.execute("INSERT INTO shop VALUES ('lost')")
        transaction.on_commit(lambda: happened.append("planned"), using="memory")

    def test_a_transaction_left_open_is_rolled_back_there_too(self):
        happened = []
        isolation = Isolation()
        self.leave_open(happened)

        self.assertTrue(isolation.restore())

        self.assertEqual(self.execute("SELECT name FROM shop"), [])
        with transaction.atomic(using="memory"):
            self.execute("INSERT INTO shop VALUES ('kept')")
        self.assertFalse(self.memory.connection.in_transaction)
        self.assertEqual(self.execute("SELECT name FROM shop"), [("kept",)])
        self.assertEqual(happened, [])

    def test_autocommit_switched_off_is_switched_on_again_there_too(self):
        isolation = Isolation()
        transaction.set_autocommit(False, using="memory")
        self.execute("INSERT INTO shop VALUES ('lost')")

        self.assertTrue(isolation.restore())

        self.assertTrue(transaction.get_autocommit(using="memory"))
        self.assertEqual(self.execute("SELECT name FROM shop"), [])
