"""What a task logs is kept in its row, and nothing else is."""

import asyncio
import functools
import json
import logging
import threading
from collections import deque
from unittest import mock

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import TestCase, override_settings
from django.test.utils import CaptureQueriesContext

from django_toosimple_q.exceptions import TaskTimeout
from django_toosimple_q.testing import run_queued
from django_toosimple_q.worker.execution import log_records, output
from django_toosimple_q.worker.execution.log_records import MESSAGE_LENGTH, MOST, ROOM
from tests.support import isolate_registries, make_task, reload

logger = logging.getLogger("tests.shop")


def records_of(row):
    """Return level, logger and message of the records in a row, and how many were dropped."""
    text = reload(row).log_records
    if text is None:
        return [], 0
    dropped, records = json.loads(text)
    return [tuple(one[1:]) for one in records], dropped


class Stubborn:
    """Has no text of its own."""

    def __str__(self):
        raise ZeroDivisionError


class KeptTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        # Their records have nowhere else to go.
        self.enterContext(mock.patch.object(logger, "handlers", [logging.NullHandler()]))
        self.enterContext(mock.patch.object(logger, "propagate", False))

    def run_task(self, func, name="t", **options):
        row = make_task(name, func, **options).queue()
        run_queued()
        return reload(row)

    def test_records_are_kept_with_the_outcome_whatever_that_is(self):
        def work():
            logger.warning("low on %s", "paper")
            try:
                raise KeyError("pens")
            except KeyError:
                logger.exception("no pens")
            raise ValueError

        for options in ({}, {"atomic": True}):
            row = self.run_task(work, **options)

            self.assertEqual(row.state, "FAILED")
            records, _dropped = records_of(row)
            self.assertEqual(
                records,
                [
                    ("WARNING", "tests.shop", "low on paper"),
                    ("ERROR", "tests.shop", "no pens\nKeyError: 'pens'"),
                ],
            )

    def test_the_setting_says_from_which_level_on(self):
        def work():
            with mock.patch.object(logger, "level", logging.DEBUG):
                logger.debug("a")
                logger.info("b")
                logger.warning("c")

        for level, messages in (
            ("WARNING", ["c"]),
            ("info", ["b", "c"]),
            (logging.DEBUG, ["a", "b", "c"]),
            (None, []),
        ):
            with self.subTest(level), override_settings(TOOSIMPLEQ_TASK_LOG_LEVEL=level):
                logger.manager._clear_cache()
                row = self.run_task(work)
                self.assertEqual([one[2] for one in records_of(row)[0]], messages)

    def test_a_level_that_does_not_exist_starts_no_worker(self):
        with (
            override_settings(TOOSIMPLEQ_TASK_LOG_LEVEL="LOUD"),
            self.assertRaisesRegex(ImproperlyConfigured, "cannot be 'LOUD'. Use the name"),
        ):
            self.run_task(lambda: None)

    def test_a_call_that_logs_nothing_has_no_value_and_its_column_is_not_written(self):
        row = make_task("t", lambda: None).queue()
        with CaptureQueriesContext(connection) as queries:
            run_queued()

        self.assertIsNone(reload(row).log_records)
        self.assertFalse([one for one in queries if "log_records =" in one["sql"]])

    def test_many_and_long_records_are_bounded_and_the_last_ones_stay(self):
        def work():
            for number in range(1000):
                logger.warning("%d", number)

        records, dropped = records_of(self.run_task(work))
        self.assertEqual((len(records), dropped), (MOST, 1000 - MOST))
        self.assertEqual(records[-1][2], "999")

        def shout():
            for number in range(100):
                logger.warning("%d" + "\N{GRINNING FACE}" * 200_000, number)

        row = self.run_task(shout, "shout")
        records, dropped = records_of(row)
        self.assertLess(len(row.log_records), ROOM + 500)
        self.assertEqual(len(records) + dropped, 100)
        self.assertEqual(len(records[-1][2]), MESSAGE_LENGTH)
        self.assertTrue(records[-1][2].startswith("99\N{GRINNING FACE}"))

    def test_what_no_database_stores_is_escaped(self):
        row = self.run_task(lambda: logger.warning("a\x00b\ud800é"))

        self.assertEqual(records_of(row)[0][0][2], "a\\x00b\\ud800é")

    def test_a_record_that_cannot_be_formatted_is_no_failure_of_the_task(self):
        def work():
            logger.warning("%d", "x")
            logger.warning(Stubborn())
            logger.warning("%s", Stubborn())

        with mock.patch.object(logging, "raiseExceptions", False):
            row = self.run_task(work)

        self.assertEqual(row.state, "SUCCEEDED")
        self.assertEqual(
            [one[2] for one in records_of(row)[0]],
            [
                "%d (cannot be formatted: TypeError)",
                "<Stubborn> (cannot be formatted: ZeroDivisionError)",
                "%s (cannot be formatted: ZeroDivisionError)",
            ],
        )

    def test_a_timeout_that_comes_while_a_record_is_formatted_is_one(self):
        class Late:
            def __str__(self):
                raise TaskTimeout("late")

        row = self.run_task(lambda: logger.warning("%s", Late()))

        self.assertEqual(row.error_type, "django_toosimple_q.exceptions.TaskTimeout")

    def test_each_run_has_its_own_in_coroutines_and_the_threads_that_they_use(self):
        async def work(name):
            logger.warning("coroutine %s", name)
            await sync_to_async(logger.warning, thread_sensitive=False)("thread %s", name)
            await asyncio.gather(*(asyncio.to_thread(logger.warning, "other") for _ in range(2)))

        task = make_task("async", work)
        rows = [task.queue(name) for name in "ab"]
        run_queued()

        for name, row in zip("ab", rows, strict=True):
            messages = [one[2] for one in records_of(row)[0]]
            self.assertEqual(messages, [f"coroutine {name}", f"thread {name}", "other", "other"])

    def test_the_threads_that_a_coroutine_uses_note_one_after_the_other(self):
        records = log_records.LogRecords()
        free = []

        def ask():
            free.append(records.lock.acquire(blocking=False))

        class Asking(deque):
            def append(self, entry):
                thread = threading.Thread(target=ask)
                thread.start()
                thread.join()
                super().append(entry)

        records.kept = Asking()
        records.add(logging.LogRecord("n", logging.ERROR, "path", 1, "text", (), None))

        self.assertEqual(free, [False])

    def test_a_record_as_no_other_is_no_failure_of_the_task(self):
        before = logging.getLogRecordFactory()

        def factory(*args, **kwargs):
            record = before(*args, **kwargs)
            record.created = "2026-11-27T12:00:00"
            return record

        logging.setLogRecordFactory(factory)
        self.addCleanup(logging.setLogRecordFactory, before)

        row = self.run_task(lambda: logger.warning("hello"))

        self.assertEqual(row.state, "SUCCEEDED")
        self.assertEqual(records_of(row), ([], 1))

    def test_threads_that_a_task_starts_itself_log_as_they_always_do(self):
        def work():
            thread = threading.Thread(target=logger.warning, args=["elsewhere"])
            thread.start()
            thread.join()

        self.assertIsNone(self.run_task(work).log_records)


class FactoryTests(TestCase):
    """The factory of log records is wrapped while a worker runs, and nothing else is changed."""

    def test_it_is_put_back_and_what_was_put_around_it_stays(self):
        before = logging.getLogRecordFactory()
        with log_records.kept():
            self.assertIsNot(logging.getLogRecordFactory(), before)
        self.assertIs(logging.getLogRecordFactory(), before)

        def around(*args, **kwargs):
            return before(*args, **kwargs)

        self.addCleanup(logging.setLogRecordFactory, before)
        with log_records.kept():
            logging.setLogRecordFactory(around)
        self.assertIs(logging.getLogRecordFactory(), around)

    def test_a_factory_that_was_put_around_it_does_not_keep_a_record_twice(self):
        before = logging.getLogRecordFactory()
        self.addCleanup(logging.setLogRecordFactory, before)
        for wrap in (lambda own: lambda function: function, functools.wraps):
            with self.subTest(wrap):
                logging.setLogRecordFactory(before)
                with log_records.kept():
                    own = logging.getLogRecordFactory()
                    logging.setLogRecordFactory(wrap(own)(lambda *args, own=own: own(*args)))
                with log_records.kept(), output.captured() as run:
                    logger.makeRecord(*("n", logging.WARNING, "f", 1, "text", (), None))

                self.assertEqual(len(run.records.kept), 1)

    def test_a_factory_of_the_project_is_called(self):
        class Own(logging.LogRecord):
            pass

        before = logging.getLogRecordFactory()
        self.addCleanup(logging.setLogRecordFactory, before)
        logging.setLogRecordFactory(Own)
        with log_records.kept(), output.captured() as run:
            record = logger.makeRecord(*("n", logging.WARNING, "f", 1, "text", (), None))

        self.assertIsInstance(record, Own)
        self.assertEqual(len(run.records.kept), 1)

    def test_a_record_that_comes_from_elsewhere_is_none_of_the_task(self):
        with log_records.kept(), output.captured() as run:
            logging.makeLogRecord({"msg": "from a socket", "levelno": 40})

        self.assertIsNone(run.records)

    def test_no_handler_is_added(self):
        handlers = list(logging.getLogger().handlers)

        with log_records.kept():
            self.assertEqual(logging.getLogger().handlers, handlers)

    def test_several_workers_of_a_process_keep_a_record_once(self):
        with log_records.kept(), log_records.kept(), output.captured() as run:
            logger.makeRecord(*("n", logging.WARNING, "f", 1, "text", (), None))

        self.assertEqual(len(run.records.kept), 1)
