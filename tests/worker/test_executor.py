import asyncio
import sys
import threading
import time
from datetime import timedelta

from django.test import SimpleTestCase, override_settings

from django_toosimple_q.exceptions import Cancel, Retry, TaskInterrupted
from django_toosimple_q.payload import seal, unseal
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.worker.execution import output
from django_toosimple_q.worker.execution.deadline import MainThreadSlot
from django_toosimple_q.worker.execution.executor import execute
from tests.support import NOW, ago, claimed, isolate_registries, make_task


class Unshown:
    def __str__(self):
        raise SystemExit


class SlowToPack:
    def __reduce__(self):
        time.sleep(30)
        return SlowToPack, ()


def cut_off():
    raise TaskInterrupted.cut_off("KeyboardInterrupt: SIGTERM")


class ExecutorTests(SimpleTestCase):
    def setUp(self):
        isolate_registries(self)

    def run_task(self, func, args=(), row=None, **options):
        make_task(func=func, **options)
        with output.installed():
            return execute(row or claimed(args=args), lambda: NOW, MainThreadSlot())

    def test_what_the_task_returns_is_its_result(self):
        outcome = self.run_task(lambda a, b: {"sum": a + b}, args=(1, 2))

        self.assertEqual((outcome.state, outcome.result_preview), ("SUCCEEDED", "{'sum': 3}"))
        self.assertEqual(unseal(outcome.result, "result", "t"), {"sum": 3})
        self.assertEqual((outcome.started, outcome.finished), (NOW, NOW))

    def test_nothing_returned_is_no_result(self):
        outcome = self.run_task(lambda: None)

        self.assertEqual(
            (outcome.state, outcome.result, outcome.result_preview), ("SUCCEEDED", None, None)
        )

    def test_a_coroutine_function_runs_to_its_end(self):
        async def fetch(x):
            await asyncio.sleep(0)
            print("fetched")
            return x + 1

        outcome = self.run_task(fetch, args=(1,))

        self.assertEqual((outcome.result_preview, outcome.stdout), ("2", "fetched\n"))

    def test_a_long_preview_ends_in_an_ellipsis(self):
        outcome = self.run_task(lambda: "x" * 300)

        self.assertEqual(len(outcome.result_preview), 255)
        self.assertTrue(outcome.result_preview.endswith("x…"))

    def test_an_exception_is_a_failure_with_its_traceback(self):
        outcome = self.run_task(lambda: 1 / 0)

        self.assertEqual((outcome.state, outcome.next_attempt), ("FAILED", None))
        self.assertIn("ZeroDivisionError: division by zero", outcome.error)
        self.assertIn("test_executor.py", outcome.error)

    def test_a_long_traceback_is_cut_in_the_middle(self):
        def fail():
            raise ValueError("x" * 200_000 + "the end")

        error = self.run_task(fail).error

        self.assertLess(len(error), 66_000)
        self.assertTrue(error.startswith("Traceback"))
        self.assertIn("characters cut", error)
        self.assertIn("the end", error[-100:])

    def test_base_exceptions_of_the_task_are_its_failure(self):
        for error in (
            SystemExit(3),
            KeyboardInterrupt(),
            GeneratorExit(),
            asyncio.CancelledError(),
            # Replaced as one that the worker has cut off, it would run without end.
            TaskInterrupted("KeyboardInterrupt"),
        ):

            def fail(error=error):
                raise error

            with self.subTest(error=error):
                tasks_registry.clear()
                outcome = self.run_task(fail)
                self.assertEqual(outcome.state, "FAILED")
                self.assertIn(type(error).__name__, outcome.error)

    def test_recursion_without_end_is_a_failure(self):
        def deep():
            return deep()

        outcome = self.run_task(deep)

        self.assertEqual(outcome.state, "FAILED")
        self.assertIn("RecursionError", outcome.error)
        self.assertLess(len(outcome.error), 70_000)

    def test_an_exception_that_cannot_be_shown_is_a_failure(self):
        class Shy(Exception):
            def __str__(self):
                raise SystemExit

        def fail():
            raise Shy

        self.assertEqual(self.run_task(fail).state, "FAILED")

    def test_retries_left_give_a_next_attempt(self):
        row = claimed(retries=2, retry_delay=10)

        outcome = self.run_task(lambda: 1 / 0, row=row)

        self.assertEqual(outcome.next_attempt, (10, 1, 20))

    def test_retries_may_be_limited_to_some_exceptions(self):
        cases = [
            ({"retry_for": (ValueError,)}, False),
            ({"retry_for": (ArithmeticError,)}, True),
            ({"retry_for": [ArithmeticError, ValueError]}, True),
            ({"retry_for": ArithmeticError}, True),
            ({"retry_not_for": [ZeroDivisionError]}, False),
            ({"retry_not_for": (ZeroDivisionError,)}, False),
            ({"retry_not_for": (ValueError,)}, True),
        ]
        for options, again in cases:
            with self.subTest(options=options):
                tasks_registry.clear()
                outcome = self.run_task(lambda: 1 / 0, row=claimed(retries=2), **options)
                self.assertEqual(outcome.next_attempt is not None, again)

    def test_a_task_may_ask_for_a_retry_itself(self):
        def later(**options):
            raise Retry("busy", **options)

        outcome = self.run_task(
            later, row=claimed(retries=2, kwargs={"delay": timedelta(minutes=1)})
        )
        self.assertEqual((outcome.state, outcome.next_attempt), ("FAILED", (60, 1, 0)))

        tasks_registry.clear()
        outcome = self.run_task(later, row=claimed(kwargs={"delay": 5, "count": False}))
        self.assertEqual(outcome.next_attempt, (5, 0, 0))

    def test_a_retry_that_cannot_be_right_fails_the_task_that_asked_for_it(self):
        def later(delay):
            raise Retry("busy", delay=delay)

        for delay in (1e12, float("inf"), "soon", -1):
            with self.subTest(delay=delay):
                tasks_registry.clear()
                outcome = self.run_task(later, row=claimed(kwargs={"delay": delay}))
                self.assertEqual((outcome.state, outcome.next_attempt), ("FAILED", None))
                self.assertIn("InvalidRetry: delay of a Retry cannot be", outcome.error)

    def test_nothing_follows_a_call_that_was_cancelled(self):
        cases = [(Retry("later", delay=0), "INTERRUPTED"), (ValueError("no"), "FAILED")]
        for error, state in cases:
            with self.subTest(error=error):
                tasks_registry.clear()
                row = claimed(retries=3)

                def fail(row=row, error=error):
                    row.interrupted = row.cancelled = True
                    raise error

                outcome = self.run_task(fail, row=row)
                self.assertEqual((outcome.state, outcome.next_attempt), (state, None))

    def test_a_task_may_give_up(self):
        def give_up():
            raise Cancel("the order is gone")

        outcome = self.run_task(give_up, row=claimed(retries=5))

        self.assertEqual((outcome.state, outcome.next_attempt), ("FAILED", None))
        self.assertIn("the order is gone", outcome.error)

    def test_a_result_that_cannot_be_stored_fails_and_is_not_retried(self):
        class Nasty:
            def __reduce__(self):
                raise SystemExit

        for value in (threading.Lock(), lambda: None, Nasty()):
            with self.subTest(value=value):
                tasks_registry.clear()
                outcome = self.run_task(lambda value=value: value, row=claimed(retries=3))
                self.assertEqual((outcome.state, outcome.next_attempt), ("FAILED", None))
                self.assertIn("cannot be stored", outcome.error)

    def test_a_result_that_cannot_be_shown_is_stored_all_the_same(self):
        for value in (2**20_000, Unshown()):
            with self.subTest(type(value)):
                tasks_registry.clear()
                outcome = self.run_task(lambda value=value: value)
                self.assertEqual(outcome.state, "SUCCEEDED", outcome.error)
                self.assertIn("that cannot be shown: ", outcome.result_preview)

    @override_settings(TOOSIMPLEQ_RETRY_UNSTORABLE=True)
    def test_with_the_setting_for_it_a_result_that_cannot_be_stored_is_retried(self):
        outcome = self.run_task(lambda: threading.Lock(), row=claimed(retries=3))

        self.assertEqual((outcome.state, outcome.next_attempt.retries), ("FAILED", 2))
        self.assertIn("cannot be stored", outcome.error)

    @override_settings(TOOSIMPLEQ_MAX_RESULT=1000)
    def test_a_result_over_the_limit_fails(self):
        import random

        outcome = self.run_task(lambda: random.randbytes(2000))

        self.assertEqual(outcome.state, "FAILED")
        self.assertIn("TOOSIMPLEQ_MAX_RESULT = 1000", outcome.error)

    def test_output_is_captured_and_cleaned(self):
        def speak():
            print("out\x00\ud800é")
            print("err", file=sys.stderr)

        outcome = self.run_task(speak)

        self.assertEqual((outcome.stdout, outcome.stderr), ("out\\x00\\ud800é\n", "err\n"))

    def test_an_unknown_task_is_invalid_unfinished_and_says_what_to_import(self):
        texts = [
            execute(claimed(name), lambda: NOW, MainThreadSlot())
            for name in ("gone", "shop.tasks.pay", "shop.tasks.pay@default")
        ]

        for outcome in texts:
            self.assertEqual((outcome.state, outcome.finished), ("INVALID", None))
            self.assertEqual(outcome.error_type, "django_toosimple_q.exceptions.UnknownTask")
        self.assertIn("knows the task 'gone'. Import its module,", texts[0].error)
        for outcome in texts[1:]:
            self.assertIn("Import the module 'shop.tasks',", outcome.error)

    def test_a_forged_payload_is_invalid_and_never_opened(self):
        make_task()

        outcome = execute(forged(), lambda: NOW, MainThreadSlot())

        self.assertEqual(outcome.state, "INVALID")
        self.assertIn("args: signature does not match", outcome.error)

    def test_a_call_that_is_cut_off_is_replaced_or_held_and_says_why(self):
        for options, replaced in (({}, True), ({"on_interruption": "hold"}, False)):
            with self.subTest(options=options):
                outcome = self.run_task(lambda: cut_off(), **options)

                self.assertEqual((outcome.state, outcome.replaced), ("INTERRUPTED", replaced))
                self.assertIn("KeyboardInterrupt: SIGTERM", outcome.error)
                self.assertEqual("held for a person" in outcome.error, not replaced)

    def test_an_expired_call_is_not_run(self):
        ran = []

        outcome = self.run_task(lambda: ran.append(1), row=claimed(expires=ago(seconds=1)))

        self.assertEqual((outcome.state, outcome.replaced, ran), ("INTERRUPTED", False, []))
        self.assertIn("expired", outcome.error)

    def test_a_task_over_its_timeout_is_stopped(self):
        def sleep():
            time.sleep(30)

        make_task(func=sleep)
        slot = MainThreadSlot()
        with slot.installed():
            outcome = execute(claimed(timeout=0.05, retries=1), lambda: NOW, slot)

        self.assertEqual((outcome.state, outcome.next_attempt), ("FAILED", (0, 0, 0)))
        self.assertIn("TaskTimeout: the task exceeded its timeout of 0.05 s", outcome.error)

    def test_a_task_whose_result_takes_too_long_to_pack_is_stopped(self):
        make_task(func=SlowToPack)
        slot = MainThreadSlot()
        with slot.installed():
            outcome = execute(claimed(timeout=0.05, retries=1), lambda: NOW, slot)

        self.assertEqual((outcome.state, outcome.next_attempt), ("FAILED", (0, 0, 0)))
        self.assertTrue(outcome.timed_out)
        self.assertNotIn("cannot be stored", outcome.error)


def forged():
    row = claimed()
    row.args = seal(["other"], "args", "another task")
    return row
