import dataclasses
import re
from functools import partial

from django.core.checks import run_checks
from django.test import override_settings

from django_toosimple_q.contrib.celery import definition, shared_task
from django_toosimple_q.contrib.celery.exceptions import (
    InvalidOption,
    NotSupported,
    SoftTimeLimitExceeded,
    TimeLimitExceeded,
)
from django_toosimple_q.exceptions import InvalidDefinition, TaskDidNotStop, UnknownOption
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.testing import run_queued
from tests.contrib.celery.cases import CeleryTests


def fetch(url):
    """Fetch a page."""


def make(function, **options):
    return shared_task(**options)(function)


class DefinitionTests(CeleryTests):
    def test_the_decorator_is_used_bare_and_called(self):
        for decorate in (shared_task, shared_task(), shared_task(name=f"{__name__}.fetch")):
            with self.subTest(decorate=decorate):
                task = decorate(fetch)

                self.assertEqual(task.name, f"{__name__}.fetch")
                self.assertEqual(task.__doc__, "Fetch a page.")
                self.assertIs(tasks_registry[task.name], task.task)

    def test_without_options_the_defaults_are_celerys(self):
        task = shared_task(fetch)

        self.assertEqual((task.max_retries, task.default_retry_delay), (3, 180))
        self.assertEqual((task.task.queue_name, task.task.priority), ("default", 0))
        self.assertEqual((task.task.retries, task.task.retry_for), (3, ()))

    def test_queue_and_priority_come_from_the_task_then_its_route_then_the_default(self):
        with override_settings(
            CELERY_TASK_DEFAULT_QUEUE="celery",
            CELERY_TASK_DEFAULT_PRIORITY=2,
            CELERY_TASK_ROUTES={"tests.*.fetch": {"queue": "web", "priority": 4}, "b.*": "mail"},
        ):
            own = make(fetch, queue="own", priority=9).task
            routed = shared_task(fetch).task
            by_text = make(fetch, name="b.c").task
            other = make(fetch, name="a.b").task

        self.assertEqual((own.queue_name, own.priority), ("own", 9))
        self.assertEqual((routed.queue_name, routed.priority), ("web", 4))
        self.assertEqual((by_text.queue_name, by_text.priority), ("mail", 2))
        self.assertEqual((other.queue_name, other.priority), ("celery", 2))

    def test_routes_take_celery_s_other_forms(self):
        for routes in (
            [("b.*", {"queue": "mail"})],
            ([("a", {"queue": "x"}), ("b.*", {"queue": "mail"})],),
            [{"a": "x"}, {"b.*": "mail"}],
            {re.compile("b"): {"queue": "mail", "routing_key": "m"}},
        ):
            with self.subTest(routes=routes), override_settings(CELERY_TASK_ROUTES=routes):
                self.assertEqual(definition.route("b.c")["queue"], "mail")
                self.assertEqual(definition.route("c"), {})

    @override_settings(CELERY_TASK_ROUTES={"b": {"queu": "mail"}})
    def test_a_route_that_says_nothing_is_refused(self):
        with self.assertRaisesRegex(InvalidDefinition, "'queu'"):
            definition.route("b")

    def test_a_router_function_is_refused(self):
        with (
            override_settings(CELERY_TASK_ROUTES=[print]),
            self.assertRaisesRegex(NotSupported, "Router functions"),
        ):
            shared_task(fetch)

    def test_time_limits_come_from_the_task_or_the_settings(self):
        with override_settings(CELERY_TASK_TIME_LIMIT=60):
            self.assertEqual(shared_task(fetch).task.timeout, 60)
            self.assertEqual(make(fetch, time_limit=5).task.timeout, 5)
            self.assertEqual(make(fetch, soft_time_limit=5).task.timeout, 5)

    def test_the_hard_limit_beside_a_soft_one_is_how_long_a_task_has_to_stop(self):
        task = make(fetch, soft_time_limit=60, time_limit=90, autoretry_for=(Exception,)).task

        self.assertEqual((task.timeout, task.timeout_grace), (60, 30))
        self.assertTrue(task.retries_after(SoftTimeLimitExceeded()))
        self.assertFalse(task.retries_after(TaskDidNotStop()))

    def test_a_soft_limit_that_is_never_reached_counts_for_nothing(self):
        task = make(fetch, soft_time_limit=60, time_limit=60, autoretry_for=(Exception,)).task

        self.assertEqual((task.timeout, task.timeout_grace), (60, 1))
        self.assertFalse(task.retries_after(SoftTimeLimitExceeded()))

    def test_the_soft_time_limit_is_raised_inside_the_task(self):
        @shared_task(soft_time_limit=0.05)
        def slow():
            try:
                while True:
                    pass
            except SoftTimeLimitExceeded:
                return "cleaned up"

        result = slow.delay()
        run_queued()

        self.assertEqual(result.get(timeout=0), "cleaned up")

    def test_the_hard_time_limit_ends_the_call(self):
        @shared_task(time_limit=0.05, autoretry_for=(Exception,))
        def slow():
            while True:
                pass

        result = slow.delay()
        run_queued()

        self.assertEqual(result.state, "FAILURE")
        self.assertIsInstance(result.result, TimeLimitExceeded)

    def test_a_function_without_a_name_needs_one(self):
        for nameless in (lambda: None, partial(fetch, 1)):
            with (
                self.subTest(function=nameless),
                self.assertRaisesRegex(InvalidDefinition, "name="),
            ):
                shared_task(nameless)

            self.assertEqual(shared_task(name="named")(nameless).name, "named")
            tasks_registry.clear()

    def test_only_a_soft_time_limit_is_retried(self):
        hard = make(fetch, name="hard", autoretry_for=(Exception,), time_limit=5).task
        soft = make(fetch, name="soft", autoretry_for=(Exception,), soft_time_limit=5).task

        self.assertFalse(hard.retries_after(SoftTimeLimitExceeded()))
        self.assertTrue(soft.retries_after(SoftTimeLimitExceeded()))

    def test_a_call_that_was_cut_off_is_held_unless_it_is_acknowledged_late(self):
        self.assertEqual(shared_task(fetch).task.on_interruption, "hold")
        self.assertEqual(make(fetch, acks_late=True).task.on_interruption, "replace")
        with override_settings(CELERY_TASK_ACKS_LATE=True):
            self.assertEqual(shared_task(fetch).task.on_interruption, "replace")

    def test_options_that_change_nothing_are_accepted(self):
        plain = make(fetch, name="plain").task

        given = make(fetch, name="plain", track_started=True, serializer="json", trail=False).task

        fields = [field.name for field in dataclasses.fields(plain) if field.name != "func"]
        for name in fields:
            self.assertEqual(getattr(given, name), getattr(plain, name), name)

    def test_a_rate_limit_is_kept(self):
        for given, kept in (
            *((None, None), (0, None), ("0/s", None), ("10/m", "10/m"), ("60/m", "60/m")),
            *((5, "5/s"), ("5", "5/s"), (0.5, "30/m"), ("0.5/m", "30/h"), ("1/h", "1/h")),
            *(("0.25/h", "6/d"), ("0.1/d", "1/d")),
        ):
            with self.subTest(given=given):
                task = make(fetch, name=f"t{given}", rate_limit=given).task
                self.assertEqual(task.rate_limit, kept)
        with override_settings(CELERY_TASK_DEFAULT_RATE_LIMIT="7/s"):
            self.assertEqual(make(fetch, name="default").task.rate_limit, "7/s")

    def test_a_rate_limit_that_cannot_be_right_is_refused(self):
        for wrong in ("10/w", "ten/m", "1/m/s", object()):
            with self.subTest(wrong=wrong), self.assertRaisesRegex(InvalidDefinition, "rate_limit"):
                make(fetch, rate_limit=wrong)

    def test_a_misspelt_option_is_refused_with_a_hint(self):
        with self.assertRaisesRegex(UnknownOption, "Did you mean 'max_retries'"):
            shared_task(max_retry=3)

    def test_options_that_would_be_missed_are_refused_with_the_alternative(self):
        for option in ("base", "on_failure"):
            with self.subTest(option=option), self.assertRaisesRegex(NotSupported, option):
                shared_task(**{option: object})

    def test_options_that_cannot_be_right_are_refused(self):
        wrong = (
            {"max_retries": -1},
            {"max_retries": "3"},
            {"autoretry_for": 5},
            {"autoretry_for": [5]},
            {"dont_autoretry_for": (int,)},
            {"default_retry_delay": "soon"},
            {"default_retry_delay": float("nan")},
            {"autoretry_for": OSError, "retry_kwargs": {"countdown": -1}},
            {
                "autoretry_for": OSError,
                "default_retry_delay": "x",
                "retry_kwargs": {"countdown": 1},
            },
            {"retry_backoff": "yes"},
            {"retry_backoff_max": None},
            {"soft_time_limit": "5", "time_limit": 6},
            {"time_limit": float("inf")},
            {"expires": "soon"},
            {"expires": 1e300},
            {"queue": "a,b"},
            {"autoretry_for": (ValueError,), "retry_kwargs": {"max_retry": 5}},
        )
        for options in wrong:
            with self.subTest(**options), self.assertRaises(InvalidDefinition):
                make(fetch, **options)
        with self.assertRaisesRegex(InvalidOption, "takes a function"):
            shared_task("name")

    def test_what_celerys_tasks_have_and_ours_have_not_is_refused_with_the_alternative(self):
        task = shared_task(fetch)

        for name in ("map", "chunks", "update_state", "replace"):
            with self.subTest(name=name), self.assertRaisesRegex(NotSupported, name):
                getattr(task, name)
        self.assertFalse(hasattr(task, "anything"))


class CheckTests(CeleryTests):
    def found(self):
        return {
            message.id: message
            for message in run_checks()
            if message.id.startswith("toosimpleq.") and message.id.endswith("150")
        }

    @override_settings(CELERY_BROKER_URL="redis://")
    def test_settings_without_effect_are_reported_where_tasks_are_ours(self):
        self.assertEqual(self.found(), {})

        shared_task(fetch)

        self.assertIn("CELERY_BROKER_URL", self.found()["toosimpleq.I150"].msg)
