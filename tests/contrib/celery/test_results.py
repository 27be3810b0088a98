import json
from datetime import timedelta
from uuid import uuid4

from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from django_toosimple_q import Cancellation
from django_toosimple_q.contrib.celery import AsyncResult, SoftTimeLimitExceeded, shared_task
from django_toosimple_q.contrib.celery.exceptions import (
    InvalidId,
    ResultGone,
    TaskFailed,
    TaskRevokedError,
    TimeoutError,  # noqa: A004
)
from django_toosimple_q.contrib.celery.failures import exception_of
from django_toosimple_q.contrib.celery.options import warn_ignored
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import requeue
from django_toosimple_q.testing import run_queued
from tests.contrib.celery.cases import CeleryTests, attempt, last_row
from tests.support import NOW, States, claim, make_worker, reload


class Custom(Exception):
    """An exception whose class is imported where its result is read."""


class Demanding(Exception):
    def __init__(self, one, other):
        super().__init__(one, other)


class EchoTests(CeleryTests):
    def setUp(self):
        super().setUp()

        @shared_task
        def echo(value):
            if isinstance(value, BaseException):
                raise value
            return value

        self.echo = echo

    def run_one(self, value):
        result = self.echo.delay(value)
        run_queued()
        return result


class ResultTests(EchoTests):
    def test_the_id_is_a_uuid_as_a_text(self):
        result = self.echo.delay(1)

        self.assertEqual(json.loads(json.dumps(result.id)), str(AsyncResult(result.id)))
        self.assertEqual(result.task_id, result.id)

    def test_a_call_goes_from_pending_to_success(self):
        result = self.echo.delay(5)

        self.assertEqual((result.state, result.ready(), result.result), ("PENDING", False, None))
        run_queued()
        self.assertEqual((result.status, result.ready(), result.result), ("SUCCESS", True, 5))
        self.assertEqual((result.successful(), result.failed()), (True, False))
        self.assertIsNone(result.traceback)

    def test_a_call_that_runs_is_started(self):
        result = self.echo.delay(5)
        TaskExec.objects.update(state=States.PROCESSING, started=timezone.now())

        self.assertEqual(result.state, "STARTED")

    def test_a_failed_call_has_its_exception_and_traceback(self):
        result = self.run_one(ValueError("no"))

        self.assertEqual((result.state, result.failed()), ("FAILURE", True))
        self.assertIn("ValueError: no", result.traceback)
        with self.assertRaisesRegex(ValueError, "no"):
            result.get(timeout=0)
        self.assertIsInstance(result.get(timeout=0, propagate=False), ValueError)

    def test_a_call_is_found_by_its_id_alone(self):
        result = self.run_one(5)

        found = AsyncResult(id=result.id)

        self.assertEqual((found.get(timeout=0), found), (5, result))
        self.assertEqual((found.name, found.args, found.queue), (self.echo.name, [5], "default"))
        self.assertEqual(found.date_done, last_row().finished)

    def test_an_id_of_no_row_is_pending(self):
        for unknown in (uuid4(), str(uuid4())):
            result = AsyncResult(unknown)

            self.assertEqual((result.state, result.result, result.name), ("PENDING", None, None))
            result.revoke()
            with self.assertRaisesRegex(TimeoutError, "PENDING after 0 s"):
                result.get(timeout=0)

    def test_an_id_that_is_no_uuid_is_refused(self):
        with self.assertRaisesRegex(InvalidId, "got 'abc'"):
            AsyncResult("abc")

    def test_a_revoked_call_does_not_run(self):
        for options in ({}, {"countdown": 60}):
            with self.subTest(**options):
                result = self.echo.apply_async((1,), **options)

                AsyncResult(result.id).revoke()
                attempt()

                self.assertEqual((result.state, result.ready()), ("REVOKED", True))
                self.assertIsNone(last_row().started)
                with self.assertRaises(TaskRevokedError):
                    result.get(timeout=0)

    def test_revoking_what_has_ended_changes_nothing(self):
        result = self.run_one(5)

        self.assertIs(result.revoke(), Cancellation.TOO_LATE)

        self.assertEqual(result.state, "SUCCESS")

    def test_revoke_says_whether_the_call_may_run_as_the_state_does(self):
        result = self.echo.delay(1)
        row = last_row()
        me = make_worker()
        claimed = claim(me)

        self.assertIs(result.revoke(), Cancellation.ASKED)
        self.assertEqual(result.state, "STARTED")
        task_execs.release(claimed, me.worker_id, NOW)
        self.assertEqual((reload(row).state, result.state), ("INTERRUPTED", "REVOKED"))
        self.assertIs(self.echo.delay(2).revoke(), Cancellation.CANCELLED)

    def test_revoke_with_terminate_warns_that_a_running_task_goes_on(self):
        warn_ignored.cache_clear()

        with self.assertWarnsRegex(UserWarning, "'terminate' of revoke.*interrupted") as warned:
            self.echo.delay(1).revoke(terminate=True)
        self.assertEqual(warned.filename, __file__)
        with self.assertWarnsRegex(UserWarning, "Did you mean 'terminate'"):
            self.echo.delay(1).revoke(terminat=True)

    def test_a_result_whose_row_goes_away_while_it_is_waited_for_is_gone(self):
        result = self.echo.delay(5)
        standing = result._standing()
        result._standing = lambda: standing
        TaskExec.objects.all().delete()

        with (
            self.assertRaisesRegex(ResultGone, "TOOSIMPLEQ_RETENTION"),
            self.assertWarnsRegex(RuntimeWarning, "inside a transaction"),
        ):
            result.get(timeout=10)

    def test_a_call_held_after_an_interruption_has_failed(self):
        result = self.echo.delay(5)
        TaskExec.objects.update(
            state=States.INTERRUPTED, started=timezone.now(), error="its worker died; held"
        )

        self.assertEqual(result.state, "FAILURE")
        self.assertIsInstance(result.result, TaskFailed)

    def test_a_call_whose_first_row_is_pruned_is_still_found(self):
        result = shared_task(name="again", bind=True)(lambda self: self.retry()).delay()
        attempt()

        TaskExec.objects.filter(root=None).delete()

        self.assertEqual(AsyncResult(result.id).state, "PENDING")
        result.revoke()
        self.assertEqual(result.state, "REVOKED")

    @override_settings(TOOSIMPLEQ_RETENTION={"SUCCEEDED": timedelta(0)})
    def test_a_call_that_went_well_in_the_end_is_no_failure_once_it_is_pruned(self):
        @shared_task(name="second", bind=True)
        def second(self):
            return "done" if self.request.retries else self.retry()

        result = second.delay()
        attempt(2)
        self.assertEqual((result.state, result.result), ("SUCCESS", "done"))

        call_command("prune_tasks", verbosity=0)

        self.assertEqual(result.state, "PENDING")
        self.assertFalse(TaskExec.objects.exists())

    def test_a_call_that_a_person_queued_again_is_followed(self):
        result = self.run_one(ValueError("no"))
        self.assertEqual(result.state, "FAILURE")

        requeue(last_row(), timezone.now())

        self.assertFalse(result.ready())


def row_of(error_type, message, error=None):
    return TaskExec(error_type=error_type, error_message=message, error=error or "a traceback")


class ExceptionTests(EchoTests):
    def test_exceptions_are_made_again_with_their_message(self):
        for path, message, kind in (
            ("builtins.ValueError", "no", ValueError),
            (f"{__name__}.Custom", "two\nlines", Custom),
            ("builtins.KeyError", "", KeyError),
            ("django_toosimple_q.exceptions.TaskTimeout", "3 s", SoftTimeLimitExceeded),
        ):
            with self.subTest(path=path):
                found = exception_of(row_of(path, message))

                self.assertIs(type(found), kind)
                self.assertEqual(str(found), message)

    def test_what_was_raised_in_a_task_comes_back_as_it_was(self):
        for error in (
            KeyError("x"),
            FileNotFoundError(2, "No such file or directory", "/nowhere"),
            ValueError("first\n  indented\nlast"),
        ):
            with self.subTest(error=error):
                self.assertEqual(repr(self.run_one(error).result), repr(error))

    def test_of_a_group_its_own_message_comes_back(self):
        error = ExceptionGroup("both", [ValueError("a"), OSError("b")])

        result = self.run_one(error).result

        self.assertEqual(str(result), "ExceptionGroup: both (2 sub-exceptions)")

    def test_only_exceptions_that_are_at_hand_and_take_a_message_are_made(self):
        for path, message in (
            ("shop.not_imported.Error", "no"),
            (f"{__name__}.Demanding", "no"),
            ("builtins.print", "no"),
            ("builtins.SystemExit", "3"),
        ):
            with self.subTest(path=path):
                found = exception_of(row_of(path, message))

                self.assertIs(type(found), TaskFailed)
                self.assertEqual(str(found), f"{path.removeprefix('builtins.')}: {message}")

    def test_without_an_exception_the_reason_is_its_text(self):
        found = exception_of(row_of("", "", "its worker died"))

        self.assertIs(type(found), TaskFailed)
        self.assertEqual(str(found), "its worker died")
