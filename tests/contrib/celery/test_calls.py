import pickle
import warnings
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from django_toosimple_q.contrib.celery import AsyncResult, Celery, shared_task, signature
from django_toosimple_q.contrib.celery.exceptions import (
    IgnoredOption,
    InvalidOption,
    NotRegistered,
    NotSupported,
)
from django_toosimple_q.exceptions import InvalidArguments, InvalidDue
from django_toosimple_q.models import TaskExec
from django_toosimple_q.testing import assert_queued, run_queued
from tests.contrib.celery.cases import CeleryTests, delay_of, last_row
from tests.support import States


def module_level(x):
    return x


class CallTests(CeleryTests):
    def setUp(self):
        super().setUp()

        @shared_task
        def add(x, y=1):
            return x + y

        self.add = add

    def test_a_task_called_runs_here(self):
        self.assertEqual(self.add(2, y=3), 5)

        self.assertFalse(TaskExec.objects.exists())

    def test_a_delayed_call_is_a_row_that_a_worker_runs(self):
        result = self.add.delay(2, y=3)

        self.assertEqual(last_row().state, States.QUEUED)
        run_queued()
        self.assertEqual(result.get(timeout=0), 5)

    def test_a_call_is_rolled_back_with_its_transaction(self):
        with transaction.atomic():
            result = self.add.delay(2)
            transaction.set_rollback(True)
        with transaction.atomic():
            self.add.delay(5)
        run_queued()

        self.assertEqual(result.state, "PENDING")

    def test_countdown_and_eta_make_a_row_that_sleeps(self):
        eta = timezone.now() + timedelta(hours=1)
        for options in ({"countdown": 3600}, {"eta": eta}, {"countdown": timedelta(hours=1)}):
            with self.subTest(**options):
                self.add.apply_async((1,), **options)

                self.assertEqual(last_row().state, States.SLEEPING)
                self.assertAlmostEqual(delay_of(last_row()), 3600, delta=5)

    def test_an_eta_without_a_zone_is_in_the_current_one_or_in_celery_timezone(self):
        naive = datetime(2030, 1, 1, 12, 0)

        self.add.apply_async((1,), eta=naive)
        self.assertEqual(last_row().due, datetime(2030, 1, 1, 11, 0, tzinfo=UTC))

        with override_settings(CELERY_TIMEZONE="Asia/Tokyo"):
            self.add.apply_async((1,), eta=naive)
        self.assertEqual(last_row().due, datetime(2030, 1, 1, 3, 0, tzinfo=UTC))

    def test_options_of_a_call_go_into_its_row(self):
        self.add.apply_async((1,), queue="slow", priority=7, time_limit=90, expires=60)

        row = last_row()
        self.assertEqual((row.queue, row.priority, row.timeout), ("slow", 7, 90))
        self.assertEqual(row.expires - row.created, timedelta(seconds=60))

    def test_the_soft_time_limit_comes_before_the_hard_one(self):
        self.add.apply_async((1,), time_limit=90, soft_time_limit=30)

        self.assertEqual(last_row().timeout, 30)

    def test_an_expired_call_is_dropped_and_says_so(self):
        result = self.add.apply_async((1,), expires=-1)

        run_queued()

        self.assertEqual(last_row().state, States.INTERRUPTED)
        self.assertIn("expired", last_row().error)
        self.assertEqual(result.state, "REVOKED")

    def test_an_option_that_cannot_be_right_is_named_as_it_was_given(self):
        for name, value in (
            *(("queue", ""), ("queue", 5), ("priority", "high"), ("time_limit", 0)),
            *(("soft_time_limit", "5"), ("soft_time_limit", float("inf")), ("expires", 1e300)),
            *(("expires", "soon"), ("expires", float("nan"))),
        ):
            with (
                self.subTest(name=name, value=value),
                self.assertRaisesRegex(InvalidOption, f"^{name} cannot be .*(Use|Give)"),
            ):
                self.add.apply_async((1,), **{name: value})

    def test_arguments_that_do_not_fit_fail_where_the_call_is_made(self):
        for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"z": 1})):
            with self.subTest(args=args, kwargs=kwargs), self.assertRaises(InvalidArguments):
                self.add.apply_async(args, kwargs)

    def test_arguments_without_a_list_are_refused(self):
        for args in (5, "ab", {1}):
            with self.subTest(args=args), self.assertRaisesRegex(InvalidOption, "list or tuple"):
                self.add.apply_async(args)
        with self.assertRaisesRegex(InvalidOption, "must be a dict"):
            self.add.apply_async((1,), [2])

    def test_a_bound_task_is_called_without_itself(self):
        @shared_task(bind=True)
        def bound(self, x):
            return self.name, x

        self.assertEqual(bound(1)[1], 1)
        with self.assertRaises(InvalidArguments):
            bound.delay()
        result = bound.delay(x=2)
        run_queued()
        self.assertEqual(result.get(timeout=0), (bound.name, 2))

    def test_an_async_function_runs_to_its_end(self):
        @shared_task
        async def slow(x):
            return x + 1

        result = slow.delay(1)
        run_queued()

        self.assertEqual(result.get(timeout=0), 2)

    def test_the_helpers_for_tests_know_the_tasks(self):
        self.add.delay(1, y=2)

        assert_queued(self.add, 1, 2)

    def test_a_result_that_is_ignored_is_not_stored(self):
        @shared_task(ignore_result=True)
        def ignored():
            return object

        result = ignored.delay()
        run_queued()

        self.assertEqual((result.state, result.result), ("SUCCESS", None))

    def test_a_task_with_a_name_of_its_own_is_found_by_it(self):
        task = shared_task(module_level)

        self.assertEqual(task.name, f"{__name__}.module_level")
        self.assertIs(pickle.loads(pickle.dumps(task)), task)
        with self.assertRaisesRegex(NotRegistered, "Did you mean 'tests"):
            signature(task.name + "s")


class BadOptionTests(CeleryTests):
    def setUp(self):
        super().setUp()
        self.task = shared_task(module_level)

    def test_countdown_and_eta_exclude_each_other(self):
        with self.assertRaisesRegex(InvalidOption, "cannot be combined"):
            self.task.apply_async((1,), countdown=1, eta=timezone.now())

    def test_a_countdown_that_is_no_time_to_come_is_refused(self):
        for countdown in (-1, -0.5, "5", True, float("nan"), float("inf"), timedelta(-1)):
            with self.subTest(countdown=countdown), self.assertRaisesRegex(InvalidOption, "countd"):
                self.task.apply_async((1,), countdown=countdown)

    def test_an_eta_that_is_no_datetime_is_refused(self):
        for eta in (5, "2030-01-01", timedelta(1)):
            with self.subTest(eta=eta), self.assertRaisesRegex(InvalidDue, "must be a datetime"):
                self.task.apply_async((1,), eta=eta)

    def test_bad_options_are_refused_in_eager_mode_too(self):
        with override_settings(CELERY_TASK_ALWAYS_EAGER=True), self.assertRaises(InvalidOption):
            self.task.apply_async((1,), countdown=-1)

    def test_an_option_without_effect_is_accepted_with_one_warning(self):
        with self.assertWarnsRegex(IgnoredOption, "'serializer' of apply_async has no effect"):
            self.task.apply_async((1,), serializer="json")

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.task.apply_async((1,), serializer="json")

        self.assertEqual(TaskExec.objects.count(), 2)

    def test_a_misspelt_option_is_accepted_with_a_hint(self):
        with self.assertWarnsRegex(IgnoredOption, "Did you mean 'countdown'"):
            self.task.apply_async((1,), coutdown=5)

        self.assertEqual(last_row().state, States.QUEUED)

    def test_options_that_would_be_missed_are_refused_with_the_alternative(self):
        for option in ("link", "link_error", "task_id"):
            with self.subTest(option=option), self.assertRaisesRegex(NotSupported, option):
                self.task.apply_async((1,), **{option: "something"})


class AppTests(CeleryTests):
    def test_an_app_makes_tasks_and_calls_them_by_name(self):
        app = Celery("shop")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.autodiscover_tasks()

        @app.task(name="shop.double")
        def double(x):
            return 2 * x

        result = app.send_task("shop.double", (4,))
        run_queued()

        self.assertEqual(app.AsyncResult(result.id).get(timeout=0), 8)
        self.assertEqual(double.AsyncResult(result.id), AsyncResult(result.id))

    def test_what_an_app_cannot_do_is_refused_with_the_alternative(self):
        app = Celery("shop")

        with self.assertRaisesRegex(NotSupported, "CELERY_…"):
            app.config_from_object("shop.celeryconfig")
        with self.assertRaisesRegex(NotSupported, "CELERY_BEAT_SCHEDULE"):
            app.on_after_configure.connect(print)
