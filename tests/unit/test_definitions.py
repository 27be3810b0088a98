import asyncio
import functools
import inspect
from datetime import datetime, timedelta
from unittest import mock

from django.test import SimpleTestCase, override_settings
from django.utils import timezone

from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.exceptions import (
    DuplicateName,
    InvalidArguments,
    InvalidCron,
    InvalidDefinition,
    InvalidDue,
    UnknownOption,
)
from django_toosimple_q.moments import resolve_due
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.testing import isolated_registries


class DefinitionTests(SimpleTestCase):
    def setUp(self):
        registries = isolated_registries()
        registries.__enter__()
        self.addCleanup(registries.__exit__, None, None, None)


class RegisterTaskTests(DefinitionTests):
    def test_the_function_stays_a_plain_function(self):
        def double(x):
            return 2 * x

        registered = register_task(name="double")(double)

        self.assertIs(registered, double)
        self.assertTrue(inspect.isfunction(registered))
        self.assertEqual(registered(4), 8)
        self.assertIs(tasks_registry["double"].func, double)

    def test_it_works_without_parentheses(self):
        module = {"__name__": "shop.tasks", "register_task": register_task}
        exec("@register_task\ndef bare(): pass", module)

        self.assertIn("shop.tasks.bare", tasks_registry)

    def test_options_reach_the_definition(self):
        register_task(name="t", queue="q", priority=5, retries=-1, retry_delay=60, unique=True)(
            lambda: None
        )

        task = tasks_registry["t"]
        self.assertEqual((task.queue_name, task.priority, task.retries), ("q", 5, -1))
        self.assertEqual((task.retry_delay, task.unique), (60, True))

    def test_a_task_over_its_timeout_gets_five_seconds_unless_said(self):
        register_task(name="t")(lambda: None)

        self.assertEqual(tasks_registry["t"].timeout_grace, 5)

    def test_a_local_function_needs_a_name(self):
        def local():
            pass

        with self.assertRaisesRegex(InvalidDefinition, 'register_task\\(name="…"\\)'):
            register_task()(local)

    def test_an_unknown_option_is_refused_with_a_suggestion(self):
        with self.assertRaisesRegex(UnknownOption, "'retrys'.*Did you mean 'retries'"):
            register_task(retrys=3)
        with self.assertRaisesRegex(UnknownOption, "no option 'zzz'. It has: "):
            register_task(zzz=3)

    def test_a_time_limit_that_no_timer_takes_is_refused_with_the_cure(self):
        for option in ("timeout", "timeout_grace"):
            for value in (float("inf"), float("nan"), 1e12):
                with (
                    self.subTest(option=option, value=value),
                    self.assertRaisesRegex(
                        InvalidDefinition,
                        f"{option} cannot be .*Use a number of seconds above 0, at most 31536000",
                    ),
                ):
                    register_task(name="t", **{option: value})(lambda: None)
        self.assertEqual(tasks_registry, {})

    def test_values_that_cannot_be_right_are_refused(self):
        wrong = [
            {"name": "x" * 256},
            {"name": ""},
            {"name": "a\x00b"},
            {"queue": ""},
            {"queue": 3},
            {"priority": "high"},
            {"priority": True},
            {"priority": 2**40},
            {"retries": -2},
            {"retries": 1.5},
            {"retry_delay": -1},
            {"retry_delay_max": -1},
            {"timeout": 0},
            {"timeout": "1h"},
            {"timeout_grace": 0},
            {"timeout_grace": None},
            {"on_interruption": "holt"},
            {"retry_for": (3,)},
            {"expires": 60},
        ]
        for options in wrong:
            with self.subTest(options=options), self.assertRaises(InvalidDefinition):
                register_task(**{"name": "t", **options})(lambda: None)
        self.assertEqual(tasks_registry, {})

    def test_a_wrong_value_is_named_as_it_was_given(self):
        with self.assertRaisesRegex(
            InvalidDefinition, "^task 't': queue cannot be 'a,b'. Use a name without a comma"
        ):
            register_task(name="t", queue="a,b")(lambda: None)

    def test_exceptions_are_given_in_a_list_or_as_one_class(self):
        register_task(name="t", retry_for=[ValueError], retry_not_for=KeyError)(lambda: None)

        task = tasks_registry["t"]
        self.assertEqual((task.retry_for, task.retry_not_for), ((ValueError,), (KeyError,)))
        self.assertTrue(task.retries_after(ValueError()))
        self.assertFalse(task.retries_after(OSError()))

    def test_a_parameter_named_due_is_refused_with_the_cure(self):
        for function in (lambda due: None, lambda a, *, due=None: None):
            with self.assertRaisesRegex(
                InvalidDefinition,
                "'t' has a parameter named 'due'.*Give the parameter another name",
            ):
                register_task(name="t")(function)
        self.assertEqual(tasks_registry, {})

    def test_a_function_under_two_names_has_a_queue_of_its_own_under_each(self):
        def double(x):
            return 2 * x

        slow = register_task(name="slow")(double)
        fast = register_task(name="fast", priority=5)(double)

        self.assertIs(slow, double)
        for handle, name in ((slow, "slow"), (fast, "fast")):
            with self.subTest(name):
                self.assertIs(handle.task, tasks_registry[name])
                self.assertIs(handle.queue.__self__, handle.task)
                self.assertIs(handle.task.func, double)
                self.assertEqual((handle(4), handle.__name__), (8, "double"))

    def test_what_a_second_name_gave_has_a_queue_of_its_own_under_a_third(self):
        second = register_task(name="second")(register_task(name="first")(lambda x: 2 * x))
        third = register_task(name="third")(second)

        self.assertEqual((second.task.name, third.task.name), ("second", "third"))
        self.assertIs(second.queue.__self__, second.task)
        self.assertEqual(third(4), 8)

    def test_a_coroutine_function_stays_one_under_a_second_name(self):
        async def double(x):
            return 2 * x

        register_task(name="slow")(double)
        fast = register_task(name="fast")(double)

        self.assertTrue(inspect.iscoroutinefunction(fast))
        self.assertEqual(asyncio.run(fast(4)), 8)

    def test_a_wrapper_of_a_task_is_a_task_itself(self):
        for options in ({}, {"sensitive": ["x"]}):
            with self.subTest(options), isolated_registries():
                inner = register_task(name="inner", **options)(lambda x: x)
                outer = functools.wraps(inner)(lambda x: 2 * x)

                self.assertIs(register_task(name="outer", **options)(outer), outer)
                again = register_task(name="again", **options)(inner)
                self.assertIsNot(again, inner)
                self.assertEqual((inner.task.name, outer.task.name), ("inner", "outer"))

    def test_a_function_that_is_defined_again_under_its_name_stays_itself(self):
        def work(): ...

        first = register_task(name="t")(work)

        self.assertIs(register_task(name="t", priority=1)(work), first)
        self.assertEqual(work.task.priority, 1)

    def test_a_parameter_named_due_is_no_trouble_where_no_call_can_name_it(self):
        for function in (lambda **kwargs: None, lambda *due: None, lambda due, /: None):
            with isolated_registries():
                register_task(name="t")(function)
                self.assertIn("t", tasks_registry)

    def test_what_has_no_readable_parameters_is_refused_with_the_cure(self):
        with self.assertRaisesRegex(InvalidDefinition, "Wrap it in a function"):
            register_task(name="t")(type)
        with self.assertRaisesRegex(InvalidDefinition, "Wrap it in a function"):
            register_task(name="t")(object)
        self.assertEqual(tasks_registry, {})

    def test_calls_that_are_no_list_of_calls_are_refused_with_the_cure(self):
        task = register_task(name="t")(lambda a: None)

        for calls in ({"a": 1}, "abc", b"abc", 5, None):
            with (
                self.subTest(calls=calls),
                self.assertRaisesRegex(InvalidArguments, "one entry for each call. Put the calls"),
            ):
                task.queue_many(calls)

    def test_two_functions_under_one_name_are_refused_naming_both_places(self):
        def one():
            pass

        def other():
            pass

        register_task(name="t")(one)

        with self.assertRaisesRegex(DuplicateName, r"(?s)one:\d+ and at .*other:\d+"):
            register_task(name="t")(other)

    def test_the_same_function_may_be_registered_again(self):
        def define():
            def task():
                pass

            return register_task(name="t")(task)

        define()
        latest = define()

        self.assertIs(tasks_registry["t"].func, latest)

    def test_using_changes_a_copy(self):
        task = register_task(name="t", priority=1)(lambda: None).task

        other = task.using(priority=9, queue="q")

        self.assertEqual((other.priority, other.queue_name), (9, "q"))
        self.assertEqual((task.priority, task.queue_name), (1, "default"))

    def test_using_checks_as_the_decorator_does(self):
        task = register_task(name="t")(lambda: None).task

        with self.assertRaises(InvalidDefinition):
            task.using(queue="q" * 300)

    def test_arguments_that_do_not_fit_name_task_and_signature(self):
        task = register_task(name="t")(lambda a, b=1: None).task

        with self.assertRaisesRegex(InvalidArguments, r"'t'.*missing.*'a'.*\(a, b=1\)"):
            task.bind((), {})

    def test_a_builtin_is_refused_with_the_cure(self):
        with self.assertRaisesRegex(InvalidDefinition, "Wrap it in a function"):
            register_task(name="t")(len)

        self.assertEqual(tasks_registry, {})

    def test_a_coroutine_function_stays_one(self):
        async def fetch():
            return 1

        registered = register_task(name="t")(fetch)

        self.assertEqual(asyncio.run(registered()), 1)

    def test_registries_answer_by_queue(self):
        for name, queue in (("a", "x"), ("b", "y"), ("c", "default")):
            register_task(name=name, queue=queue)(lambda: None)

        def names(*queues):
            return [task.name for task in tasks_registry.for_queue(*queues)]

        self.assertEqual(names(), ["a", "b", "c"])
        self.assertEqual(names(["x", "y"]), ["a", "b"])
        self.assertEqual(names([], ["x"]), ["b", "c"])


class ScheduleTaskTests(DefinitionTests):
    def setUp(self):
        super().setUp()
        self.task = register_task(name="t")(lambda a=None, at=None: None)

    def test_the_name_defaults_to_the_task_s(self):
        schedule_task(cron="30 8 * * *")(self.task)

        self.assertEqual(list(schedules_registry), ["t"])

    def test_several_schedules_of_a_task_need_names(self):
        schedule_task(cron="30 8 * * *")(self.task)

        with self.assertRaises(DuplicateName):
            schedule_task(cron="30 9 * * *")(self.task)
        schedule_task(cron="30 9 * * *", name="later")(self.task)
        self.assertEqual(list(schedules_registry), ["t", "later"])

    def test_arguments_are_copied(self):
        args = [[1]]
        schedule_task(cron="@daily", args=args)(self.task)

        args[0].append(2)

        self.assertEqual(schedules_registry["t"].call_at(timezone.now())[0], ([1],))

    def test_bad_crons_are_refused(self):
        for cron in ("", "* * * *", "61 * * * *", "0 0 30 2 *", "every day", 5):
            with self.subTest(cron=cron), self.assertRaises(InvalidCron):
                schedule_task(cron=cron)(self.task)

    def test_other_values_that_cannot_be_right_are_refused(self):
        wrong = [
            {"timezone": "Europe/Pariss"},
            {"args": "John"},
            {"kwargs": [1]},
            {"name": ""},
            {"queue": "a,b"},
            {"catch_up": "yes"},
            {"run_on_creation": 1},
            {"datetime_kwarg": 5},
        ]
        for options in wrong:
            [name] = options
            with (
                self.subTest(options=options),
                self.assertRaisesRegex(InvalidDefinition, f"^schedule .*: {name} cannot be "),
            ):
                schedule_task(cron="@daily", **options)(self.task)
        self.assertEqual(schedules_registry, {})

    def test_a_plain_function_is_refused_with_the_cure(self):
        with self.assertRaisesRegex(InvalidDefinition, "above @register_task"):
            schedule_task(cron="@daily")(lambda: None)

    def test_an_unknown_option_is_refused_with_a_suggestion(self):
        with self.assertRaisesRegex(UnknownOption, "Did you mean 'catch_up'"):
            schedule_task(cron="@daily", catchup=True)

    @override_settings(TIME_ZONE="Europe/Paris", TOOSIMPLEQ_CRON_TIMEZONE=None)
    def test_the_zone_is_the_schedule_s_or_the_setting_s_or_the_project_s(self):
        def zone(**options):
            schedule_task(cron="@daily", name=str(options), **options)(self.task)
            return schedules_registry[str(options)].expression.timezone.key

        self.assertEqual(zone(), "Europe/Paris")
        self.assertEqual(zone(timezone="Asia/Tokyo"), "Asia/Tokyo")
        with override_settings(TOOSIMPLEQ_CRON_TIMEZONE="UTC"):
            self.assertEqual(zone(args=[1]), "UTC")


class MissedTests(DefinitionTests):
    NOW = datetime(2026, 5, 1, 12, 30, tzinfo=timezone.get_fixed_timezone(0))

    def missed(self, last, **options):
        task = register_task(name="t")(lambda: None)
        schedule_task(cron="0 * * * *", **options)(task)
        found = schedules_registry["t"].missed(last, self.NOW)
        return [moment.hour for moment in found]

    def test_without_catch_up_only_the_latest_counts(self):
        self.assertEqual(self.missed(self.NOW - timedelta(hours=5)), [12])

    def test_with_catch_up_each_counts_oldest_first(self):
        self.assertEqual(self.missed(self.NOW - timedelta(hours=3), catch_up=True), [10, 11, 12])

    def test_nothing_is_missed_before_the_next_occurrence(self):
        self.assertEqual(self.missed(self.NOW - timedelta(minutes=10)), [])

    def test_a_schedule_without_a_past_runs_its_latest_occurrence(self):
        self.assertEqual(self.missed(None, catch_up=True), [12])


class DueTests(SimpleTestCase):
    def test_an_aware_datetime_stays(self):
        due = timezone.now()

        self.assertEqual(resolve_due(due), due)

    def test_a_naive_one_is_taken_in_the_current_zone(self):
        with timezone.override("Asia/Tokyo"):
            due = resolve_due(datetime(2026, 1, 1, 12))

        self.assertEqual(due.isoformat(), "2026-01-01T12:00:00+09:00")

    def test_anything_else_is_refused_with_its_value(self):
        for due in ("tomorrow", 5, datetime(2026, 1, 1).date(), timedelta(1)):
            with (
                self.subTest(due=due),
                self.assertRaisesRegex(InvalidDue, "due must be a datetime"),
            ):
                resolve_due(due)

    @override_settings(USE_TZ=False)
    def test_without_time_zones_an_aware_one_becomes_naive(self):
        aware = datetime(2026, 1, 1, 12, tzinfo=timezone.get_fixed_timezone(0))

        self.assertIsNone(resolve_due(aware).tzinfo)


class AsyncTests(SimpleTestCase):
    def test_aqueue_hands_over_to_queue(self):
        with isolated_registries():
            task = register_task(name="t")(lambda a: None).task
            with mock.patch.object(type(task), "queue", return_value="row") as queue:
                row = asyncio.run(task.aqueue(1, due=None))

        self.assertEqual(row, "row")
        queue.assert_called_once_with(1, due=None)
