import asyncio
import sys
import threading
import time
from datetime import timedelta

from django.test import SimpleTestCase, override_settings

from django_toosimple_q.exceptions import Cancel, Retry
from django_toosimple_q.execution import Claimed
from django_toosimple_q.payload import seal, unseal
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.worker import capture
from django_toosimple_q.worker.deadline import MainThreadSlot
from django_toosimple_q.worker.executor import execute
from tests.support import NOW, ago, isolate_registries, make_task


def claimed(name="t", args=(), kwargs=None, **fields):
    values = {
        "pk": 1,
        "task_name": name,
        "args": seal(list(args), "args", name),
        "kwargs": seal(kwargs or {}, "kwargs", name),
        "queue": "default",
        "priority": 0,
        "retries": 0,
        "retry_delay": 0,
        "due": NOW,
        "expires": None,
        "attempt": 1,
        "root_id": None,
        "deaths": 0,
        "unique_hash": "",
        "alone": False,
        "timeout": None,
        **fields,
    }
    return Claimed(**values)


class SlowToPack:
    def __reduce__(self):
        time.sleep(30)
        return SlowToPack, ()


class ExecutorTests(SimpleTestCase):
    def setUp(self):
        isolate_registries(self)

    def run_task(self, func, args=(), row=None, **options):
        make_task(func=func, **options)
        with capture.installed():
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

    def test_an_unknown_task_is_invalid_without_an_error(self):
        outcome = execute(claimed("gone"), lambda: NOW, MainThreadSlot())

        self.assertEqual((outcome.state, outcome.error, outcome.finished), ("INVALID", None, None))

    def test_a_forged_payload_is_invalid_and_never_opened(self):
        make_task()

        outcome = execute(forged(), lambda: NOW, MainThreadSlot())

        self.assertEqual(outcome.state, "INVALID")
        self.assertIn("args: signature does not match", outcome.error)

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
        self.assertIn("TaskTimeout: the task ran over its timeout of 0.05 s", outcome.error)

    def test_so_is_one_whose_result_takes_too_long_to_pack(self):
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
