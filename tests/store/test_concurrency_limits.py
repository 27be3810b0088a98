from datetime import timedelta

from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from django_toosimple_q.databases.base import CONCURRENCY_KEYS
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import ConcurrencyKey, TaskExec, WorkerStatus
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import Bucket
from django_toosimple_q.wakeups import WORK
from tests.support import NOW, claim, hints, isolate_registries, make_task, make_worker, reload


def seconds(count):
    return NOW + timedelta(seconds=count)


class LimitTestCase(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()

    def finish(self, *rows):
        done = Outcome("SUCCEEDED", NOW, NOW)
        return task_execs.finish([(row, done) for row in rows], self.me.worker_id, NOW)


class MaxRunningTests(LimitTestCase):
    def test_no_more_are_claimed_than_may_run_at_once(self):
        make_task("few", max_running=2).queue_many(range(5))

        first = claim(self.me)

        self.assertEqual(len(first), 2)
        self.assertEqual(claim(self.me), [])
        self.assertEqual(claim(make_worker("other", "j")), [])

        self.finish(first[0])

        self.assertEqual(len(claim(self.me)), 1)

    def test_the_end_of_a_limited_call_wakes_the_workers(self):
        for name, limit, expected in (("few", 1, [WORK]), ("free", None, [])):
            with self.subTest(name=name):
                make_task(name, max_running=limit).queue()
                rows = claim(self.me)

                with hints() as sent:
                    self.finish(*rows)

                self.assertEqual(sent, expected)

    def test_a_key_without_room_is_left_out_of_the_backlog(self):
        make_task("few", max_running=1).queue_many(range(2))
        make_task("free").queue()

        claim(self.me, limit=1)

        self.assertEqual(task_execs.backlog(NOW).buckets, [Bucket("default")])

    def test_others_are_claimed_past_a_full_key_of_larger_priority(self):
        make_task("few", max_running=1, priority=9).queue_many(range(3))
        make_task("free").queue_many(range(3))

        names = [row.task_name for row in claim(self.me)]

        self.assertEqual(names, ["few", "free", "free", "free"])

    def test_priority_counts_between_limited_and_other_rows(self):
        make_task("low", max_running=5, priority=-1).queue_many(range(2))
        make_task("free").queue_many(range(2))
        make_task("high", max_running=5, priority=1).queue_many(range(2))

        names = [row.task_name for row in claim(self.me, limit=5)]

        self.assertEqual(names, ["high", "high", "free", "free", "low"])

    def test_the_room_is_that_of_all_queues_together(self):
        few = make_task("few", max_running=2)
        few.queue_many(range(3))
        few.using(queue="mail").queue_many(range(3))

        self.assertEqual(len(claim(self.me)), 2)
        self.assertEqual(claim(self.me), [])

    def test_what_a_dead_worker_holds_counts_until_it_is_rescued(self):
        make_task("few", max_running=1).queue_many(range(2))
        [held] = claim(self.me)
        other = make_worker("other", "j")
        self.assertEqual(claim(other), [])

        self.me_died()
        task_execs.rescue(NOW)
        task_execs.wake(NOW)

        self.assertEqual(len(claim(other)), 1)
        self.assertEqual(reload(held.pk).state, "INTERRUPTED")
        self.assertEqual(reload(reload(held.pk).replaced_by).concurrency_key, "few")

    def me_died(self):
        WorkerStatus.objects.filter(pk=self.me.worker_id).update(rescued=NOW)

    def test_a_task_that_lost_its_limit_is_free(self):
        make_task("few", max_running=1).queue_many(range(3))
        make_task("few")

        self.assertEqual(len(claim(self.me)), 3)

    def test_of_a_task_that_is_not_known_one_is_claimed(self):
        make_task("few", max_running=2).queue_many(range(3))
        isolate_registries(self)

        self.assertEqual(len(claim(self.me)), 1)


class RateLimitTests(LimitTestCase):
    def test_one_is_claimed_and_the_next_when_it_may_start(self):
        make_task("rare", rate_limit="10/m").queue_many(range(3))

        self.assertEqual(len(claim(self.me)), 1)
        self.assertEqual(claim(self.me, now=seconds(5.9)), [])
        self.assertEqual(len(claim(self.me, now=seconds(6))), 1)

    def test_the_look_says_when_that_is(self):
        make_task("rare", rate_limit="10/m").queue_many(range(2))
        make_task("rarer", rate_limit="1/m").queue_many(range(2))
        claim(self.me)

        self.assertEqual(task_execs.backlog(seconds(1)), ([], None, seconds(6)))
        self.assertEqual(task_execs.backlog(seconds(7)).buckets, [Bucket("default", "rare")])

    def test_a_small_interval_comes_in_bunches(self):
        make_task("often", rate_limit="1000/s").queue_many(range(200))

        self.assertEqual(len(claim(self.me)), 48)
        self.assertEqual(claim(self.me), [])
        self.assertEqual(len(claim(self.me, now=seconds(0.021))), 20)

    def test_only_what_was_claimed_counts(self):
        make_task("often", rate_limit="1000/s").queue_many(range(2))
        claim(self.me)

        self.assertEqual(
            ConcurrencyKey.objects.get(name="often").used_until, NOW + timedelta(microseconds=2100)
        )

    def test_a_retry_waits_for_its_turn(self):
        make_task("rare", rate_limit="10/m", retries=3).queue()
        [claimed] = claim(self.me)
        again = NextAttempt(delay_seconds=1, retries=2, retry_delay=1)
        failed = Outcome("FAILED", NOW, NOW, next_attempt=again)
        task_execs.finish([(claimed, failed)], self.me.worker_id, NOW)
        task_execs.wake(seconds(1))

        self.assertEqual(claim(self.me, now=seconds(1)), [])
        self.assertEqual([row.attempt for row in claim(self.me, now=seconds(6))], [2])


class UnlimitedTests(LimitTestCase):
    def test_without_limited_rows_nothing_is_asked_about_concurrency_keys(self):
        make_task("free").queue()

        with CaptureQueriesContext(
            connection,
        ) as queries:
            claim(self.me)

        self.assertFalse([one["sql"] for one in queries if CONCURRENCY_KEYS in one["sql"]])

    def test_rows_from_before_the_limit_get_its_key_when_released(self):
        row = make_task("few").queue()
        make_task("few", max_running=1)
        [claimed] = claim(self.me)
        claimed.concurrency_key = "few"

        task_execs.release([claimed], self.me.worker_id, NOW)

        self.assertEqual((reload(row).state, reload(row).concurrency_key), ("QUEUED", "few"))
        self.assertEqual(TaskExec.objects.count(), 1)
