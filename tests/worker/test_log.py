"""What is logged, at which level, and who gets it: a terminal, ADMINS by mail, Sentry."""

import gc
import io
import json
import logging
import logging.config
import os
import re
import signal
import subprocess
import sys
import weakref
from contextlib import contextmanager
from unittest import mock

import django
from django.core import mail
from django.core.management import call_command
from django.db import DataError, connection
from django.test import TransactionTestCase, override_settings

from django_toosimple_q import log, signals
from django_toosimple_q.exceptions import Cancel, Retry, RowGone
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import finish
from django_toosimple_q.store.transaction import queue_database
from django_toosimple_q.text import first_line, named, printable
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.worker import Worker
from tests.acceptance.processes import ROOT, ProcessTests, environment
from tests.app.tasks import echo, sleep
from tests.contrib.mail import HAS_MAILERS, LOCMEM
from tests.support import claimed, isolate_registries, make_task, wait_for

MAILED = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"mail": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR"}},
    "root": {"handlers": ["mail"], "level": "WARNING"},
}


@contextmanager
def configured(settings):
    """Configure logging as a project's LOGGING does, and put back what was."""
    loggers = {name: logging.getLogger(name) for name in ("", "toosimpleq")}
    before = {name: (one.level, one.handlers[:], one.propagate) for name, one in loggers.items()}
    for one in loggers.values():
        one.handlers = []
    logging.config.dictConfig(settings)
    try:
        yield
    finally:
        for name, one in loggers.items():
            one.level, one.handlers, one.propagate = before[name]
            one.manager._clear_cache()


def raise_(error):
    raise error


def refuse_once(error, function):
    """Return a stand-in for a function that raises in its first two calls: a batch, and a row."""
    errors = [error, error]

    def call(*args):
        if errors:
            raise errors.pop()
        return function(*args)

    return call


class LogCase(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def drain(self):
        """Run what waits; return the records of the logger."""
        with self.assertLogs("toosimpleq", "DEBUG") as logs:
            Worker(WorkerOptions(until_done=True, schedules=False)).run()
        return logs.records

    def record_of(self, error, **options):
        """Return the record about a task that raises."""
        make_task("fails", lambda: raise_(error), **options).queue()
        records = [one for one in self.drain() if "fails" in one.getMessage()]
        starts = ("task failed", "task gave up")
        [record] = [one for one in records if one.getMessage().startswith(starts)]
        return record


class LevelTests(LogCase):
    def test_a_final_failure_is_an_error_with_the_live_exception(self):
        error = ValueError("no such customer")

        record = self.record_of(error)

        self.assertEqual(record.levelname, "ERROR")
        self.assertIs(record.exc_info[1], error)
        self.assertEqual(record.exc_info[2].tb_frame.f_code.co_name, "<lambda>")
        self.assertIn("error=ValueError: no such customer", record.getMessage())

    def test_a_failure_that_is_retried_is_a_warning_that_counts_the_retries(self):
        record = self.record_of(ValueError("x"), retries=3, retry_delay=5)

        self.assertEqual(record.levelname, "WARNING")
        self.assertTrue(record.getMessage().startswith("task failed, retry 1 of 3 in 5 s: task="))
        self.assertIsNone(record.exc_info)

    def test_each_retry_has_its_number_and_the_last_failure_is_an_error(self):
        make_task("fails", lambda: raise_(ValueError("x")), retries=2).queue()

        lines = [(one.levelname, one.getMessage().split(":")[0]) for one in self.drain()]

        self.assertEqual(
            [one for one in lines if one[1].startswith("task failed")],
            [
                ("WARNING", "task failed, retry 1 of 2 at once"),
                ("WARNING", "task failed, retry 2 of 2 at once"),
                ("ERROR", "task failed"),
            ],
        )

    def test_a_retry_that_uses_none_up_and_one_of_endless_ones_say_so(self):
        free = self.record_of(Retry("later", delay=60, count=False), retries=2)
        TaskExec.objects.all().delete()
        tasks_registry.clear()
        endless = self.record_of(ValueError("x"), retries=-1, retry_delay=60)

        self.assertIn("task failed, runs again in 60 s, 2 of 2 retries left", free.getMessage())
        self.assertIn("task failed, retry 1 in 60 s", endless.getMessage())

    def test_a_task_that_cancels_itself_is_no_error(self):
        record = self.record_of(Cancel("gone"), retries=3)

        self.assertEqual((record.levelname, record.exc_info), ("WARNING", None))
        self.assertTrue(record.getMessage().startswith("task gave up: task="), record.getMessage())
        self.assertTrue(record.getMessage().endswith("Cancel: gone"))

    def test_one_whose_missing_row_is_to_fail_is_an_error(self):
        for option, level in (("cancel", "WARNING"), ("fail", "ERROR")):
            with self.subTest(on_missing_row=option):
                tasks_registry.clear()
                TaskExec.objects.all().delete()
                record = self.record_of(RowGone("no such row"), on_missing_row=option)
                self.assertEqual(record.levelname, level)

    def test_an_outcome_that_the_database_refuses_is_an_error(self):
        make_task("works").queue()
        error = DataError("no such character")
        refused = mock.patch.object(finish, "_written", refuse_once(error, finish._written))
        is_data = mock.patch.object(
            type(queue_database()), "is_data_error", lambda self, one: one is error
        )

        with refused, is_data:
            records = self.drain()

        [record] = [one for one in records if one.levelname == "ERROR"]
        self.assertIn("the database refused an outcome, which is FAILED now", record.getMessage())
        self.assertEqual((record.state, record.task_name), ("FAILED", "works"))
        self.assertEqual(TaskExec.objects.get().state, "FAILED")

    def test_an_error_whose_text_cannot_be_had_is_logged_all_the_same(self):
        class Mute(Exception):
            def __str__(self):
                raise SystemExit(3)

        record = self.record_of(Mute())

        self.assertIn("Mute: (no message: its __str__ raised SystemExit)", record.getMessage())

    def test_nothing_keeps_the_exception_once_its_line_is_written(self):
        class Held:
            pass

        held = []

        def fail():
            local = Held()
            held.append(weakref.ref(local))
            raise ValueError(local)

        outcomes = []

        def keep(outcome, **kwargs):
            outcomes.append((outcome, outcome.exception is not None))

        make_task("fails", fail).queue_many([(), ()])
        signals.task_finished.connect(keep)
        self.addCleanup(signals.task_finished.disconnect, keep)
        gc.disable()
        self.addCleanup(gc.enable)

        alone = mock.patch.object(log.logger, "propagate", False)
        with alone, mock.patch.object(log.logger, "handlers", [logging.NullHandler()]):
            Worker(WorkerOptions(until_done=True, schedules=False)).run()

        self.assertEqual([one() for one in held], [None, None])
        self.assertEqual([had for _, had in outcomes], [True, True])
        self.assertEqual([outcome.exception for outcome, _ in outcomes], [None, None])


class LineTests(LogCase):
    def test_a_text_of_several_lines_keeps_its_type_and_first_line(self):
        record = self.record_of(ValueError("first\nsecond\n\x1b[31mthird"))

        self.assertTrue(record.getMessage().endswith("error=ValueError: first"))

    def test_control_characters_are_escaped_wherever_they_come_from(self):
        record = self.record_of(ValueError("a\x1b[2Jb\rc\x9bd\u202ee"))

        self.assertTrue(
            record.getMessage().endswith(r"error=ValueError: a\x1b[2Jb"), record.getMessage()
        )
        self.assertEqual(printable("a\rc\x9bd\u202ee\x00"), r"a\rc\x9bd\u202ee\x00")
        self.assertEqual(printable("é ü 你好 1\n\x1b", lines=True), "é ü 你好 1\n\\x1b")

    def test_a_name_with_control_characters_is_escaped_too(self):
        TaskExec.objects.create(task_name="no\x1b[31m\nsuch")

        lines = [one.getMessage() for one in self.drain()]

        self.assertEqual([one for one in lines if "\x1b" in one or "\n" in one], [])
        self.assertTrue(any(r"no\x1b[31m\nsuch" in one for one in lines), lines)

    def test_a_database_error_says_what_it_is(self):
        def collide():
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM no_such_table")

        make_task("fails", collide).queue()

        [line] = [one.getMessage() for one in self.drain() if "failed" in one.getMessage()]

        self.assertRegex(line, r"error=django\.db\.utils\.\w+Error: .*no_such_table")

    def test_the_first_line_is_not_blank_and_not_endless(self):
        self.assertEqual(first_line("\n  \nx\ny"), "x")
        self.assertEqual(first_line(""), "")
        self.assertEqual(len(first_line("x" * 10_000)), 300)
        self.assertEqual(named(KeyError()), "KeyError")

    def test_an_outcome_without_an_exception_says_its_reason(self):
        row = claimed("t")
        outcome = Outcome("FAILED", error="it is\x1b so\nmore")

        with self.assertLogs("toosimpleq", "ERROR") as logs:
            log.tasks.on_task_finished(row, outcome)

        self.assertTrue(logs.output[0].endswith(r"error=it is\x1b so"))

    def test_a_line_has_no_more_of_a_message_than_300_characters(self):
        long = "x" * 33_000
        error = ValueError(f"{long}\n{long}")
        error.add_note(long)
        group = ExceptionGroup(long, [error, KeyError(long)])
        group.__cause__ = error
        for one in (error, group):
            with self.subTest(kind=type(one).__name__):
                tasks_registry.clear()
                record = self.record_of(one)
                line = logging.Formatter("%(message)s").format(record)

                self.assertLess(len(record.getMessage()), 500)
                self.assertLess(max(len(part) for part in re.findall("x+", line)), 301)
                self.assertLess(len(line), 6000)
                self.assertIn('test_log.py", line', line)

    def test_a_traceback_is_bounded_however_many_causes_it_has(self):
        error = None
        for number in range(300):
            new = ValueError(f"{number} {'x' * 1000}")
            new.__cause__ = error
            error = new

        line = logging.Formatter("%(message)s").format(self.record_of(error))

        self.assertLess(len(line), 20_000)
        self.assertIn("characters cut", line)

    def test_control_characters_in_a_traceback_are_escaped_for_every_handler(self):
        record = self.record_of(ValueError("a\x1b[31mb\u202ec"))

        self.assertNotIn("\x1b", logging.Formatter().format(record))
        self.assertIn(r"a\x1b[31mb\u202ec", logging.Formatter().format(record))

    def test_a_record_has_fields_for_formatters_that_write_no_lines(self):
        record = self.record_of(ValueError("no"), retries=2, retry_delay=60, queue="mail")

        self.assertEqual(
            {name: getattr(record, name) for name in ("task_name", "queue", "attempt", "state")},
            {"task_name": "fails", "queue": "mail", "attempt": 1, "state": "FAILED"},
        )
        self.assertEqual((record.task, record.error), (self.row_id(), "ValueError: no"))
        self.assertGreaterEqual(record.duration, 0)
        self.assertEqual(record.worker, WorkerStatus.objects.get().label)

    def row_id(self):
        return TaskExec.objects.order_by("pk").first().pk

    def test_lines_of_the_worker_have_its_label(self):
        make_task("works").queue()

        records = self.drain()

        label = WorkerStatus.objects.get().label
        self.assertGreaterEqual(len(records), 3)
        self.assertEqual({one.worker for one in records}, {label})

    def test_fields_of_the_project_s_own_records_are_no_obstacle(self):
        factory = logging.getLogRecordFactory()

        def with_task(*args, **kwargs):
            record = factory(*args, **kwargs)
            record.task = record.queue = "the project's"
            return record

        logging.setLogRecordFactory(with_task)
        self.addCleanup(logging.setLogRecordFactory, factory)

        record = self.record_of(ValueError("no"))

        self.assertEqual((record.task, record.queue), (self.row_id(), "default"))
        self.assertIsNotNone(record.exc_info)
        self.assertEqual((record.module, record.funcName), ("tasks", "on_task_finished"))


class DisabledTests(LogCase):
    """A `dictConfig` in a library disables all loggers that are there, unless it is told not to."""

    def test_it_does_not_mute_the_worker(self):
        make_task("library", lambda: logging.config.dictConfig({"version": 1})).queue()
        make_task("fails", lambda: raise_(ValueError("no"))).queue()
        other = logging.getLogger("tests.project")

        lines = [one.getMessage() for one in self.drain()]

        self.assertEqual(len([one for one in lines if one.startswith("task failed")]), 1, lines)
        self.assertFalse(log.logger.disabled)
        self.assertFalse(other.disabled)

    def test_nor_does_one_beside_the_tasks(self):
        self.addCleanup(setattr, log.logger, "disabled", False)
        with self.assertLogs("toosimpleq", "INFO") as logs:
            log.logger.disabled = True
            log.tasks.on_task_finished(claimed("t"), Outcome("SUCCEEDED"))

        self.assertEqual(len(logs.records), 1)


class AdminMailTests(LogCase):
    def mailed(self, worker):
        """Return the mails that ADMINS get while `worker` runs."""
        # Since Django 6.0 they are addresses only.
        admin = "a@example.org" if django.VERSION >= (6, 0) else ("A", "a@example.org")
        settings = {"ADMINS": [admin]}
        if HAS_MAILERS:
            settings["MAILERS"] = {"default": {"BACKEND": LOCMEM}}
        with override_settings(**settings), configured(MAILED):
            worker()
        return mail.outbox

    def run_command(self):
        call_command("worker", "--until_done", "--no_schedules")

    def test_admins_get_a_final_failure_with_its_traceback(self):
        make_task("fails", lambda: raise_(ValueError("no such customer"))).queue()

        [sent] = self.mailed(self.run_command)

        self.assertIn("ERROR", sent.subject)
        self.assertIn("ValueError: no such customer", sent.subject)
        self.assertIn("Traceback (most recent call last)", sent.body)
        self.assertIn("test_log.py", sent.body)

    def test_admins_get_nothing_of_a_retry_a_success_or_a_stop(self):
        make_task("retried", lambda: raise_(ValueError("x")), retries=1, retry_delay=60).queue()
        make_task("works").queue()

        def stop():
            with mock.patch("django_toosimple_q.worker.worker.Worker.run_once") as step:
                step.side_effect = lambda now: os.kill(os.getpid(), signal.SIGTERM) or True
                call_command("worker", "--no_schedules")

        self.mailed(self.run_command)
        sent = self.mailed(stop)

        self.assertEqual([one.subject for one in sent], [])


class VerbosityTests(LogCase):
    """The project's LOGGING wins over the command's verbosity."""

    def lines(self, settings=None, **options):
        """Return what a drain writes to its streams, given a project's LOGGING."""
        make_task("works").queue()
        make_task("fails", lambda: raise_(ValueError("a\x1b[31mb"))).queue()
        out, err = io.StringIO(), io.StringIO()
        plain = {"version": 1, "disable_existing_loggers": False, **(settings or {})}
        with configured(plain):
            call_command(
                "worker", "--until_done", "--no_schedules", stdout=out, stderr=err, **options
            )
        return out.getvalue(), err.getvalue()

    def test_lines_go_to_the_streams_that_the_caller_gives(self):
        out, err = self.lines()

        self.assertEqual(out, "")
        self.assertIn(r"error=ValueError: a\x1b[31mb", err)
        self.assertIn("Traceback (most recent call last)", err)
        self.assertNotIn("\x1b", err)
        self.assertNotIn("state=SUCCEEDED", err)

    def test_verbosity_decides_where_the_project_does_not(self):
        self.assertIn("ERROR task failed", self.lines(verbosity=0)[1])
        self.assertNotIn("state=SUCCEEDED", self.lines()[1])
        self.assertIn("state=SUCCEEDED", self.lines(verbosity=2)[1])
        self.assertIn("task started", self.lines(verbosity=3)[1])

    def test_a_level_of_the_logger_wins(self):
        info = {"loggers": {"toosimpleq": {"level": "INFO"}}}
        error = {"loggers": {"toosimpleq": {"level": "ERROR"}}}

        self.assertIn("state=SUCCEEDED", self.lines(info)[1])
        self.assertIn("state=SUCCEEDED", self.lines(info, verbosity=0)[1])
        self.assertNotIn("state=SUCCEEDED", self.lines(error, verbosity=2)[1])

    def test_a_level_of_the_root_logger_wins_at_the_default_verbosity(self):
        info = {"root": {"level": "INFO"}}

        self.assertIn("state=SUCCEEDED", self.lines(info)[1])
        self.assertNotIn("state=SUCCEEDED", self.lines(info, verbosity=0)[1])
        self.assertIn("task started", self.lines(info, verbosity=3)[1])

    def test_the_command_puts_logging_back(self):
        before = log.logger.level, log.logger.handlers[:]

        self.lines(verbosity=3)

        self.assertEqual((log.logger.level, log.logger.handlers), before)
        ids = [one[0][0] for one in signals.task_started.receivers]
        self.assertNotIn("toosimpleq_log_on_task_started", ids)


class StartTests(ProcessTests):
    def test_a_start_is_one_line_at_default_verbosity_and_a_stop_of_an_idle_worker_none(self):
        worker = self.worker("--label=w", "--queue=a,b", verbosity=1)
        wait_for(lambda: "Ctrl-C stops it" in worker.log())

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 0)
        [line] = worker.log().splitlines()
        self.assertRegex(
            line,
            r"^worker started: label=w queues=a,b tasks=\d+ schedules=\d+ "
            r"database=default:\w+ wakeups=\w+ tick=0.1 timeout=4; Ctrl-C stops it$",
        )

    def test_several_processes_share_a_line(self):
        worker = self.worker("--processes=2", verbosity=1, online=False)
        wait_for(lambda: "Ctrl-C stops it" in worker.log())

        worker.send(signal.SIGTERM)
        worker.wait()

        [line] = worker.log().splitlines()
        self.assertIn("processes=2", line)

    def test_the_log_has_the_line_where_it_shows_info(self):
        worker = self.worker(verbosity=2)

        worker.send(signal.SIGTERM)
        worker.wait()

        self.assertEqual(worker.log().count("worker started"), 1)
        self.assertRegex(worker.log(), r"INFO worker stopping: .* reason=SIGTERM")

    def test_what_a_stopping_worker_waits_for_is_shown(self):
        worker = self.worker(verbosity=1)
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: "began a" in self.lines())

        worker.send(signal.SIGINT)

        self.assertEqual(worker.wait(), 0)
        self.assertIn(f"worker stopping, waits for app.sleep ({row.pk})", worker.log())

    def test_a_drain_says_nothing(self):
        echo.queue()
        worker = self.worker("--until_done", verbosity=1, online=False)

        self.assertEqual(worker.wait(), 0)
        self.assertEqual(worker.log(), "")


SENTRY = """
import json, os, signal, sys
import django, sentry_sdk
from sentry_sdk.transport import Transport

events = []

class ToList(Transport):
    def capture_envelope(self, envelope):
        events.extend(item.payload.json for item in envelope.items if item.type == "event")

sentry_sdk.init(dsn="https://key@localhost/1", transport=ToList)
django.setup()
from django.core.management import call_command
from django_toosimple_q.decorators import register_task
from django_toosimple_q.worker.worker import Worker

@register_task(name="fails")
def fails(customer):
    secret_of_the_frame = customer
    raise ValueError("no such customer")

@register_task(name="retried", retries=1, retry_delay=60)
def retried():
    raise ValueError("later")

fails.queue(7)
retried.queue()
call_command("worker", "--until_done", "--no_schedules")
Worker.run_once = lambda self, now: os.kill(os.getpid(), signal.SIGTERM) or True
call_command("worker", "--no_schedules")
sentry_sdk.flush()
print(json.dumps(events, default=str))
"""


class SentryTests(TransactionTestCase):
    def test_sentry_gets_one_event_of_a_final_failure_with_its_frames(self):
        done = subprocess.run(
            [sys.executable, "-c", SENTRY],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

        [event] = json.loads(done.stdout.splitlines()[-1])

        [error] = event["exception"]["values"]
        self.assertEqual((error["type"], error["value"]), ("ValueError", "no such customer"))
        last = error["stacktrace"]["frames"][-1]
        self.assertEqual(last["function"], "fails")
        self.assertEqual(last["vars"], {"customer": "7", "secret_of_the_frame": "7"})
        self.assertEqual((event["level"], event["logger"]), ("error", "toosimpleq"))
