"""Sensitive arguments: in rows, in logs, and in the reports that ADMINS get by mail."""

import logging
import traceback
from functools import partial

import django
from asgiref.sync import async_to_sync
from django.core import mail
from django.core.management import call_command
from django.test import TransactionTestCase, override_settings
from django.views.decorators.debug import sensitive_variables

from django_toosimple_q import signals
from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.masking import arguments_of
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.payload import is_sensitive
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.testing import assert_queued
from tests.contrib.mail import HAS_MAILERS, LOCMEM
from tests.support import NOW, States, claim, isolate_registries, make_task, make_worker
from tests.worker.test_log import configured

SECRET = "".join(("hunter", "2"))
OPEN = "".join(("Ann", "abel"))
REPORTED = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "mail": {
            "class": "django.utils.log.AdminEmailHandler",
            "level": "ERROR",
            "include_html": True,
        }
    },
    "root": {"handlers": ["mail"], "level": "WARNING"},
}


def log_in(user, password):
    raise ValueError("refused")


async def log_in_slowly(user, password):
    raise ValueError("refused")


def log_in_by_name(user, **options):
    raise ValueError("refused")


def log_in_by_place(user, *more):
    raise ValueError("refused")


def return_a_lock(user, password):
    return (value for value in user)


def pass_on(user, password):
    check(user, password)


def check(name, password):
    raise ValueError("refused")


def run():
    call_command("worker", "--until_done", "--no_schedules")


def reported(call, **settings):
    """Return the mails, each as a text and a page, that ADMINS get while `call` runs."""
    # Since Django 6.0 they are addresses only.
    admin = "a@example.org" if django.VERSION >= (6, 0) else ("A", "a@example.org")
    settings = {"ADMINS": [admin], **settings}
    if HAS_MAILERS:
        settings["MAILERS"] = {"default": {"BACKEND": LOCMEM}}
    mail.outbox.clear()
    with override_settings(**settings), configured(REPORTED):
        call()
    pages = ["".join(text for text, _ in sent.alternatives) for sent in mail.outbox]
    texts = [f"{sent.subject}\n{sent.body}" for sent in mail.outbox]
    return [f"{text}\n{page}" for text, page in zip(texts, pages, strict=True)]


class ReportTests(TransactionTestCase):
    """By AdminEmailHandler with a page, which shows the variables of each frame."""

    def setUp(self):
        isolate_registries(self)

    def report_on(self, function, *args, **options):
        make_task("t", function, **options).queue(*args)

        [report] = reported(run)

        return report

    def test_the_page_shows_arguments_that_nobody_has_called_sensitive(self):
        report = self.report_on(log_in, OPEN, SECRET)

        self.assertIn(OPEN, report)
        self.assertIn(SECRET, report)

    def test_sensitive_arguments_are_in_no_report(self):
        for number, (function, sensitive) in enumerate(
            (
                (log_in, ["password"]),
                (log_in_slowly, ["password"]),
                (log_in_by_name, ["password"]),
                (log_in_by_name, ["options"]),
                (log_in_by_place, ["more"]),
                (pass_on, ["password"]),
            )
        ):
            for atomic in (False, True):
                task = make_task(f"{number}{atomic}", function, sensitive=sensitive, atomic=atomic)
                named = {"password": SECRET}
                given = ([SECRET], {}) if function is log_in_by_place else ([], named)
                task.queue(OPEN, *given[0], **given[1])
                with self.subTest(function=function, sensitive=sensitive, atomic=atomic):
                    [report] = reported(run)

                    self.assertNotIn(SECRET, report)
                    self.assertIn(OPEN, report)
                    self.assertIn("refused", report)

    def test_all_arguments_are_in_no_report_with_true(self):
        report = self.report_on(log_in, OPEN, SECRET, sensitive=True)

        self.assertNotIn(SECRET, report)
        self.assertNotIn(OPEN, report)

    def test_djangos_own_mark_is_honoured_without_the_option(self):
        for name, function in (("a", log_in), ("b", log_in_slowly)):
            if name == "b":
                self.addCleanup(forget_marks, function)
            task = make_task(name, sensitive_variables("password")(function))
            task.queue(OPEN, SECRET)
            with self.subTest(function=function):
                [report] = reported(run)

                self.assertNotIn(SECRET, report)
                self.assertIn(OPEN, report)

    def test_a_result_that_cannot_be_stored_is_reported_without_arguments(self):
        report = self.report_on(return_a_lock, OPEN, SECRET, sensitive=["password"])

        self.assertIn("ResultNotStored", report)
        self.assertNotIn(SECRET, report)

    def test_a_call_that_is_not_queued_is_reported_without_its_arguments(self):
        task = make_task("t", log_in, sensitive=["password"])

        @sensitive_variables("secret")
        def view(method, *args):
            secret = SECRET
            try:
                method(*args, secret)
            except InvalidArguments:
                logging.getLogger("view").exception("not queued")

        for method, args in (
            (task.queue, (OPEN, 1)),
            (task.task.using(queue="other").queue, (OPEN, 1)),
            (async_to_sync(task.aqueue), (OPEN, 1)),
            (task.queue_many, ()),
            (async_to_sync(task.aqueue_many), ()),
        ):
            with self.subTest(method=method):
                [report] = reported(partial(view, method, *args))

                self.assertIn("InvalidArguments", report)
                self.assertNotIn(SECRET, report)

    def test_a_coroutine_function_with_a_mark_of_its_own_has_both(self):
        async def twice(user, password, token):
            raise ValueError("refused")

        task = make_task("t", sensitive_variables("token")(twice), sensitive=["password"])
        task.queue(OPEN, SECRET, SECRET)

        [report] = reported(run)

        self.assertNotIn(SECRET, report)
        self.assertIn(OPEN, report)


class LogTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_no_line_and_no_attribute_of_a_record_has_a_sensitive_argument(self):
        make_task("t", log_in, sensitive=["password"], retries=1).queue(OPEN, SECRET)

        with self.assertLogs(level="DEBUG") as logs:
            run()

        text = "\n".join(f"{record.getMessage()} {vars(record)}" for record in logs.records)
        self.assertIn("retry 1 of 1", text)
        self.assertIn("task failed", text)
        self.assertNotIn(SECRET, text)

    def test_the_variables_of_no_frame_but_the_functions_own_have_arguments(self):
        # What tools see that do not ask Django's filter.
        for name, function in (("a", log_in), ("b", log_in_slowly)):
            make_task(name, function, sensitive=["password"]).queue(OPEN, SECRET)
            with self.assertLogs("toosimpleq", "ERROR") as logs:
                run()

            frames = [frame for frame, _ in traceback.walk_tb(logs.records[0].exc_info[2])]

            with self.subTest(function=function):
                self.assertEqual([frame.f_code.co_name for frame in frames], [function.__name__])

    def test_receivers_see_no_arguments_in_what_they_get(self):
        seen = []

        def listen(sender, **kwargs):
            seen.append(repr((sender, kwargs)))

        for signal in (signals.task_started, signals.task_finished):
            signal.connect(listen)
            self.addCleanup(signal.disconnect, listen)
        row = make_task("t", log_in, sensitive=["password"]).queue(OPEN, SECRET)
        envelopes = [row.__dict__[name].text for name in ("args", "kwargs")]

        run()

        self.assertEqual(len(seen), 2)
        for text in (SECRET, *envelopes):
            self.assertNotIn(text, "".join(seen))


class RowTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task("t", log_in, sensitive=["password"], retries=1)

    def assert_masked(self, row):
        self.assertEqual(repr(arguments_of(row)), f"(['{OPEN}', ********], {{}})")
        # The task takes the argument itself.
        self.assertEqual(row.args, [OPEN, SECRET])
        # The code has the task no more.
        definition = tasks_registry.pop("t")
        try:
            self.assertEqual(repr(arguments_of(row)), "([********], {})")
        finally:
            tasks_registry["t"] = definition

    def test_the_row_of_a_call_is_masked(self):
        row = self.task.queue(OPEN, SECRET)

        self.assert_masked(TaskExec.objects.get(pk=row.pk))
        self.assertNotIn(SECRET, repr(row))

    def test_so_are_its_retries_and_calls_that_are_queued_again(self):
        first = self.task.queue(OPEN, SECRET)
        run()
        last = TaskExec.objects.get(replaces=first)

        again = task_execs.requeue(last, NOW)

        for row in (last, again):
            with self.subTest(attempt=row.attempt):
                self.assertEqual(row.task_name, "t")
                self.assert_masked(TaskExec.objects.get(pk=row.pk))

    def test_so_is_the_replacement_of_a_call_whose_worker_died(self):
        self.task.queue(OPEN, SECRET)
        TaskExec.objects.update(due=NOW)
        dead = make_worker()
        claim(dead)
        workers.declare_gone(WorkerStatus.objects.get(), NOW)

        [rescue] = task_execs.rescue(NOW)

        self.assert_masked(TaskExec.objects.get(pk=rescue.replaced_by))

    def test_a_copy_of_the_task_queues_with_its_own_settings(self):
        task = self.task.using(queue="other", priority=5)

        [row, *more] = [task.queue(OPEN, SECRET), *task.queue_many([(OPEN, SECRET)])]

        self.assertEqual({(one.queue, one.priority) for one in (row, *more)}, {("other", 5)})

    def test_many_calls_are_masked(self):
        for row in self.task.queue_many([(OPEN, SECRET), {"user": OPEN, "password": SECRET}]):
            texts = [row.__dict__[name].text for name in ("args", "kwargs")]

            self.assertTrue(any(map(is_sensitive, texts)))

    def test_what_is_stored_of_a_failure_has_no_value_of_a_variable(self):
        row = self.task.queue(OPEN, SECRET)

        run()

        for stored in TaskExec.objects.all():
            text = f"{stored.error}{stored.error_type}{stored.error_message}{stored.stdout}"
            self.assertIn("in log_in", text)
            self.assertNotIn(OPEN, text)
            self.assertNotIn(SECRET, text)
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, States.FAILED)

    def test_calls_of_other_tasks_are_stored_as_ever(self):
        row = make_task("other").queue(OPEN, SECRET)
        texts = [row.__dict__[name].text for name in ("args", "kwargs")]

        self.assertFalse(any(map(is_sensitive, texts)))
        tasks_registry.pop("other")
        self.assertEqual(arguments_of(row), ([OPEN, SECRET], {}))

    def test_a_failed_assertion_of_a_test_shows_them_masked(self):
        self.task.queue(OPEN, SECRET)

        with self.assertRaises(AssertionError) as caught:
            assert_queued(self.task, "Bob", SECRET)

        self.assertNotIn(SECRET, str(caught.exception))
        self.assertIn(OPEN, str(caught.exception))


def forget_marks(function):
    """Take back what sensitive_variables() remembers of a coroutine function."""
    from django.views.decorators.debug import coroutine_functions_to_sensitive_variables as marks

    code = function.__code__
    marks.pop(hash(f"{code.co_filename}:{code.co_firstlineno}"), None)
