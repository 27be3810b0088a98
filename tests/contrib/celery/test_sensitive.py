"""Sensitive arguments in Celery's words."""

import logging
from functools import partial

from django.test import TransactionTestCase, override_settings
from django.views.decorators.debug import sensitive_variables

from django_toosimple_q.contrib.celery import beat, shared_task
from django_toosimple_q.contrib.celery.exceptions import (
    InvalidOption,
    MaxRetriesExceededError,
    NotSupported,
)
from django_toosimple_q.exceptions import InvalidArguments, InvalidDefinition
from django_toosimple_q.masking import arguments_of
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import schedules_registry
from tests.support import isolate_registries
from tests.worker.test_sensitive import OPEN, SECRET, reported, run


class SensitiveTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.seen = []

        @shared_task(name="log_in", bind=True, max_retries=0, sensitive=["password"])
        def log_in(task, user, password):
            self.seen.append(repr(task.request))
            task.retry()

        self.task = log_in

    def test_the_option_is_that_of_the_queue(self):
        self.assertEqual(self.task.task.sensitive, ("password",))
        with self.assertRaisesRegex(InvalidDefinition, "no parameter 'pasword'"):
            shared_task(name="other", sensitive=["pasword"])(run)

    def test_the_row_of_a_call_is_masked_and_its_task_gets_all(self):
        for call in (
            partial(self.task.delay, OPEN, SECRET),
            partial(self.task.apply_async, (OPEN, SECRET), queue="other"),
            self.task.s(OPEN, SECRET).delay,
        ):
            call()
            row = TaskExec.objects.latest("pk")

            self.assertEqual(repr(arguments_of(row)), f"(['{OPEN}', ********], {{}})")
            self.assertEqual(row.args, [OPEN, SECRET])

    def test_no_message_quotes_them(self):
        for error, call in (
            (InvalidOption, partial(self.task.apply_async, SECRET)),
            (InvalidOption, partial(self.task.apply_async, kwargs=SECRET)),
            (InvalidArguments, partial(self.task.delay, SECRET, SECRET, SECRET)),
            (MaxRetriesExceededError, partial(self.task.apply, (OPEN, SECRET), throw=True)),
            (NotSupported, partial(lambda one: one | one, self.task.s(OPEN, password=SECRET))),
        ):
            with self.subTest(error=error), self.assertRaises(error) as caught:
                call()

            self.assertNotIn(SECRET, str(caught.exception))

    def test_a_signature_and_a_request_do_not_show_them(self):
        self.assertEqual(
            repr(self.task.s(OPEN, SECRET, user=OPEN, password=SECRET)),
            f"log_in(********, ********, user='{OPEN}', password=********)",
        )
        self.task.delay(OPEN, SECRET)
        run()
        self.assertNotIn(SECRET, self.seen[0])

    def test_no_report_has_them(self):
        self.task.delay(OPEN, SECRET)

        [report] = reported(run)

        self.assertIn("MaxRetriesExceededError", report)
        self.assertIn(OPEN, report)
        self.assertNotIn(SECRET, report)

    def test_no_report_on_a_coroutine_function_has_them(self):
        @shared_task(name="slow", sensitive=["password"])
        async def log_in_slowly(user, password):
            raise ValueError("refused")

        log_in_slowly.delay(OPEN, SECRET)

        [report] = reported(run)

        self.assertIn(OPEN, report)
        self.assertNotIn(SECRET, report)

    def test_no_report_on_a_call_that_is_not_queued_has_them(self):
        # Its own variables are its author's concern.
        @sensitive_variables("given")
        def view(method, given):
            try:
                method(*given)
            except Exception:
                logging.getLogger("view").exception("not queued")

        for method, given in (
            (self.task.delay, (OPEN, SECRET, SECRET)),
            (self.task.delay_on_commit, (OPEN, SECRET, SECRET)),
            (self.task.apply_async, ((OPEN, SECRET, SECRET),)),
            (self.task.apply, ((OPEN, SECRET), None, True)),
        ):
            with self.subTest(method=method):
                [report] = reported(partial(view, method, given))

                self.assertNotIn(SECRET, report)

    @override_settings(CELERY_TASK_ALWAYS_EAGER=True, CELERY_TASK_EAGER_PROPAGATES=True)
    def test_nor_has_one_on_a_call_that_runs_at_once(self):
        def view():
            try:
                self.task.delay(OPEN, SECRET)
            except Exception:
                logging.getLogger("view").exception("not run")

        [report] = reported(view)

        self.assertIn("MaxRetriesExceededError", report)
        self.assertNotIn(SECRET, report)

    def test_no_problem_of_a_schedule_quotes_them(self):
        entries = {
            "a": {"task": "log_in", "schedule": 60, "args": SECRET},
            "b": {"task": "log_in", "schedule": 60, "kwargs": [SECRET]},
        }
        beat.register(entries)
        self.addCleanup(beat.problems.clear)

        self.assertEqual(
            [str(one) for one in beat.problems.values()],
            [
                "its args is ********. Use a list or tuple.",
                "its kwargs is ********. Use a dict.",
            ],
        )
        self.assertEqual(schedules_registry, {})
