from django.test import override_settings

from django_toosimple_q.contrib.celery import EagerResult, Retry, shared_task
from django_toosimple_q.contrib.celery.exceptions import TaskRevokedError
from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.models import TaskExec
from tests.contrib.celery.cases import CeleryTests


class EagerTests(CeleryTests):
    def setUp(self):
        super().setUp()
        self.seen = []

        @shared_task
        def add(x, y=1):
            return x + y

        @shared_task(bind=True, max_retries=2)
        def retrying(self_, x):
            request = self_.request
            self.seen.append((request.id, request.retries, request.is_eager))
            raise self_.retry(exc=ValueError("no"))

        @shared_task(autoretry_for=(ValueError,), retry_backoff=True, max_retries=2)
        def failing():
            self.seen.append(1)
            raise ValueError("no")

        self.add, self.retrying, self.failing = add, retrying, failing

    def test_apply_runs_here_and_returns_the_result(self):
        result = self.add.apply((1,), {"y": 2})

        self.assertIsInstance(result, EagerResult)
        self.assertEqual((result.get(), result.state, result.ready()), (3, "SUCCESS", True))
        self.assertFalse(TaskExec.objects.exists())

    def test_apply_retries_at_once_and_keeps_the_exception(self):
        result = self.retrying.apply((1,))

        self.assertEqual(self.seen, [(result.id, count, True) for count in range(3)])
        self.assertEqual((result.state, repr(result.result)), ("FAILURE", "ValueError('no')"))
        self.assertIn("ValueError: no", result.traceback)
        with self.assertRaisesRegex(ValueError, "no"):
            result.get()

    def test_autoretry_is_at_once_too(self):
        result = self.failing.apply()

        self.assertEqual((len(self.seen), result.failed()), (3, True))

    def test_with_throw_the_first_exception_is_raised(self):
        with self.assertRaises(Retry):
            self.retrying.apply((1,), throw=True)
        with self.assertRaisesRegex(Retry, "ValueError"):
            self.failing.apply(throw=True)
        with self.assertRaises(TypeError):
            self.add.apply(("a",), throw=True)

    @override_settings(CELERY_TASK_ALWAYS_EAGER=True)
    def test_always_eager_runs_every_call_at_once(self):
        for result in (
            self.add.delay(1),
            self.add.apply_async((1,)),
            self.add.apply_async((1,), countdown=60),
            self.add.s(1).delay(),
            self.add.s(1).set(queue="slow").apply_async(),
        ):
            self.assertEqual(result.get(), 2)

        self.assertFalse(TaskExec.objects.exists())

    @override_settings(CELERY_TASK_ALWAYS_EAGER=True)
    def test_always_eager_keeps_exceptions_in_the_result(self):
        result = self.retrying.delay(1)

        self.assertTrue(result.failed())

    @override_settings(CELERY_TASK_ALWAYS_EAGER=True, CELERY_TASK_EAGER_PROPAGATES=True)
    def test_eager_propagates_raises_exceptions_where_the_call_is_made(self):
        with self.assertRaises(Retry):
            self.retrying.delay(1)
        with self.assertRaises(TypeError):
            self.add.delay("a")

    @override_settings(CELERY_TASK_ALWAYS_EAGER=True)
    def test_arguments_that_do_not_fit_are_refused(self):
        with self.assertRaises(InvalidArguments):
            self.add.delay()

    @override_settings(CELERY_TASK_ALWAYS_EAGER=True)
    def test_arguments_that_no_row_could_keep_are_refused(self):
        with self.assertRaisesRegex(InvalidArguments, "cannot store"):
            self.add.delay(lambda: 1, 2)

    def test_a_result_can_be_revoked(self):
        result = self.add.apply((1,))

        result.revoke()

        self.assertEqual(result.state, "REVOKED")
        with self.assertRaises(TaskRevokedError):
            result.get()
