from datetime import timedelta

from django.utils import timezone

from django_toosimple_q.contrib.celery import Retry, current_task, shared_task
from django_toosimple_q.contrib.celery.exceptions import MaxRetriesExceededError, NotSupported
from django_toosimple_q.contrib.celery.request import retries_used
from django_toosimple_q.exceptions import InvalidRetry
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from tests.contrib.celery.cases import CeleryTests, attempt, delays, last_row
from tests.support import NOW, States


def failing(**options):
    """Make a task that raises ValueError, and return it."""

    @shared_task(name="failing", **options)
    def task():
        raise ValueError("no")

    return task


class AutoretryTests(CeleryTests):
    def delays_of(self, **options):
        failing(autoretry_for=(ValueError,), retry_jitter=False, **options).delay()
        attempt(12)
        return delays()

    def test_backoff_doubles_from_its_factor(self):
        self.assertEqual(self.delays_of(retry_backoff=True, max_retries=4), [1, 2, 4, 8])

    def test_an_integer_is_the_factor_of_the_backoff(self):
        self.assertEqual(self.delays_of(retry_backoff=5), [5, 10, 20])

    def test_the_cap_holds_the_delay(self):
        delays = self.delays_of(retry_backoff=True, retry_backoff_max=9, max_retries=5)

        self.assertEqual(delays, [1, 2, 4, 8, 9])

    def test_without_backoff_the_delay_is_constant(self):
        self.assertEqual(self.delays_of(), [180, 180, 180])

    def test_retry_kwargs_decide_about_number_and_delay(self):
        kwargs = {"max_retries": 2, "countdown": 5}

        self.assertEqual(self.delays_of(retry_kwargs=kwargs), [5, 5])

    def test_jitter_takes_a_share_of_the_capped_delay(self):
        task = failing(autoretry_for=(ValueError,), retry_backoff=100, retry_backoff_max=150)
        task.delay()

        attempt(4)

        self.assertTrue(task.task.retry_jitter)
        for delay, most in zip(delays(), (100, 150, 150), strict=True):
            self.assertTrue(0 <= delay <= most)

    def test_an_exception_that_is_not_listed_is_not_retried(self):
        result = failing(autoretry_for=(KeyError,)).delay()

        attempt(3)

        self.assertEqual((TaskExec.objects.count(), result.state), (1, "FAILURE"))

    def test_an_exception_that_is_excepted_is_not_retried(self):
        failing(autoretry_for=(Exception,), dont_autoretry_for=(ValueError,)).delay()

        attempt(3)

        self.assertEqual(TaskExec.objects.count(), 1)

    def test_when_no_retries_are_left_the_exception_itself_remains(self):
        result = failing(autoretry_for=(ValueError,), max_retries=1).delay()

        attempt(3)

        self.assertEqual(repr(result.result), "ValueError('no')")


class RetryTests(CeleryTests):
    def setUp(self):
        super().setUp()
        self.requests = []

    def make(self, call, **options):
        """Make a bound task that records its request and then does `call(self)`."""

        @shared_task(name="retrying", bind=True, **options)
        def task(self_, *args, **kwargs):
            self.requests.append(self_.request)
            return call(self_)

        return task

    def test_each_attempt_knows_its_id_and_how_many_came_before(self):
        task = self.make(lambda self: self.retry(), max_retries=2)
        result = task.delay(1, x=2)

        attempt(5)

        self.assertEqual([request.retries for request in self.requests], [0, 1, 2])
        self.assertEqual({request.id for request in self.requests}, {result.id})
        self.assertEqual({request.args for request in self.requests}, {(1,)})
        self.assertEqual(self.requests[0].kwargs, {"x": 2})
        self.assertFalse(self.requests[0].called_directly)

    def test_a_retry_waits_as_it_is_told(self):
        for options, seconds in (
            ({}, 180),
            ({"countdown": 30}, 30),
            ({"eta": timezone.now() + timedelta(seconds=90)}, 90),
        ):
            with self.subTest(**options):
                TaskExec.objects.all().delete()
                self.make(lambda self, options=options: self.retry(**options)).delay()

                attempt()

                self.assertAlmostEqual(delays()[0], seconds, delta=2)

    def test_a_retry_that_waits_is_in_state_retry(self):
        result = self.make(lambda self: self.retry(exc=OSError("gone"))).delay()

        attempt()

        self.assertEqual(result.state, "RETRY")
        self.assertIn("OSError: gone", result.traceback)
        self.assertFalse(result.ready())

    def test_with_no_retries_left_the_given_exception_is_raised(self):
        result = self.make(lambda self: self.retry(exc=OSError("gone")), max_retries=1).delay()

        attempt(5)

        self.assertEqual(len(self.requests), 2)
        self.assertIsInstance(result.result, OSError)

    def test_with_no_retries_left_and_no_exception_max_retries_is_exceeded(self):
        result = self.make(lambda self: self.retry(), max_retries=0).delay()

        attempt(5)

        self.assertIsInstance(result.result, MaxRetriesExceededError)
        self.assertIn(f"retrying[{result.id}]", str(result.result))

    def test_a_limit_given_to_retry_may_be_smaller_or_larger_than_the_tasks(self):
        for limit in (1, 5):
            with self.subTest(limit=limit):
                self.requests.clear()
                self.make(lambda self, limit=limit: self.retry(max_retries=limit)).delay()

                attempt(9)

                retries = [request.retries for request in self.requests]
                self.assertEqual(retries, list(range(limit + 1)))

    def test_without_a_limit_a_task_is_retried_for_ever(self):
        self.make(lambda self: self.retry(), max_retries=None).delay()

        attempt(6)

        self.assertEqual([request.retries for request in self.requests], [0, 1, 2, 3, 4, 5])

    def test_retry_without_throw_ends_the_attempt_with_the_function(self):
        done = []
        task = self.make(lambda self: (self.retry(throw=False), done.append(1)))
        task.delay()

        attempt()

        self.assertEqual((done, last_row().attempt), ([1], 2))

    def test_retry_raised_by_hand_waits_as_it_says(self):
        for when, seconds in ((7, 7), (None, 180), (timedelta(minutes=1), 60)):
            with self.subTest(when=when):
                TaskExec.objects.all().delete()

                def call(self, when=when):
                    raise Retry(when=when)

                self.make(call).delay()

                attempt()

                self.assertEqual(delays(), [seconds])

    def test_a_retry_that_waits_for_nothing_sensible_is_refused(self):
        for when in ("soon", float("inf"), float("nan"), -1, timedelta.max):
            with (
                self.subTest(when=when),
                self.assertRaisesRegex(InvalidRetry, "delay of a Retry cannot be"),
            ):
                Retry(when=when)

    def test_a_retry_keeps_its_arguments(self):
        task = self.make(lambda self: self.retry(args=(1,), kwargs={}))
        task.delay(1)
        attempt()
        self.assertEqual(last_row().args, [1])

        result = task.delay(2)
        attempt()
        self.assertIsInstance(result.result, NotSupported)
        self.assertIn("apply_async", str(result.result))

    def test_called_directly_retry_raises_the_exception(self):
        with self.assertRaises(OSError):
            self.make(lambda self: self.retry(exc=OSError()))()
        with self.assertRaises(Retry):
            self.make(lambda self: self.retry())()

        self.assertTrue(self.requests[0].called_directly)
        self.assertIsNone(self.requests[0].id)

    def test_the_current_task_is_the_one_that_runs(self):
        seen = []

        @shared_task(name="looking")
        def looking():
            seen.append((bool(current_task), current_task.name, current_task.request.id))

        result = looking.delay()
        attempt()

        self.assertEqual(seen, [(True, "looking", result.id)])
        self.assertFalse(current_task)

    def test_a_revoked_retry_does_not_run(self):
        result = self.make(lambda self: self.retry()).delay()
        attempt()

        result.revoke()
        attempt()

        self.assertEqual((len(self.requests), result.state), (1, "REVOKED"))

    def test_every_attempt_but_the_last_keeps_its_own_row(self):
        self.make(lambda self: self.retry(), max_retries=1).delay()

        attempt(3)

        states = list(TaskExec.objects.order_by("pk").values_list("state", flat=True))
        self.assertEqual(states, [States.FAILED, States.FAILED])


class RetriesUsedTests(CeleryTests):
    def used(self, total, left, attempt, crash_count=0):
        row = Claimed(
            *(
                1,
                "t",
                "",
                "",
                "default",
                0,
                left,
                0,
                NOW,
                None,
                attempt,
                None,
                crash_count,
                "",
                False,
            ),
            None,
        )
        return retries_used(row, total)

    def test_what_is_left_tells_how_many_were_used_whatever_interrupted_the_call(self):
        self.assertEqual(self.used(total=3, left=3, attempt=1), 0)
        self.assertEqual(self.used(total=3, left=2, attempt=2), 1)
        self.assertEqual(self.used(total=3, left=2, attempt=4), 1)
        self.assertEqual(self.used(total=3, left=0, attempt=4), 3)

    def test_for_ever_and_beyond_the_definition_attempts_count(self):
        self.assertEqual(self.used(total=-1, left=-1, attempt=8), 7)
        self.assertEqual(self.used(total=3, left=0, attempt=8), 7)
        self.assertEqual(self.used(total=-1, left=-1, attempt=8, crash_count=2), 5)

    def test_a_definition_that_changed_since_never_counts_more_than_the_attempts(self):
        self.assertEqual(self.used(total=9, left=3, attempt=1), 0)
        self.assertEqual(self.used(total=1, left=3, attempt=2), 0)
