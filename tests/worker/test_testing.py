"""The helpers that projects use in their own tests."""

from datetime import timedelta

from django.db import connection, transaction
from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.testing import (
    assert_not_queued,
    assert_queued,
    isolated_registries,
    queued,
    run_queued,
)
from tests.app.models import Effect
from tests.support import isolate_registries, make_task


class HelperTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task(func=lambda a, b=1: a + b)

    def test_run_queued_returns_what_ran_in_order(self):
        self.task.queue(1)
        run_queued()
        self.task.queue(2)
        self.task.queue(3)

        self.assertEqual([row.result for row in run_queued()], [3, 4])

    def test_run_queued_runs_the_named_queues_only(self):
        self.task.queue(1)

        self.assertEqual(run_queued("other"), [])
        self.assertEqual(len(run_queued("default")), 1)

    def test_run_queued_runs_what_a_limit_would_keep_waiting(self):
        make_task("rare", rate_limit="1/d", max_running=1).queue_many(range(3))

        self.assertEqual([row.state for row in run_queued()], ["SUCCEEDED"] * 3)

    def test_assert_queued_compares_calls_as_the_task_receives_them(self):
        row = self.task.queue(1)

        for args, kwargs in (((1,), {}), ((), {"a": 1}), ((1, 1), {})):
            self.assertEqual(assert_queued(self.task, *args, **kwargs).pk, row.pk)

    def test_assert_queued_tells_what_is_queued_instead(self):
        self.task.queue(1, due=timezone.now() + timedelta(hours=1))

        with self.assertRaisesRegex(AssertionError, r"(?s)args=\(2,\).*args=\[1\] .*SLEEPING"):
            assert_queued(self.task, 2)

    def test_assert_not_queued(self):
        assert_not_queued(self.task)
        self.task.queue(1)

        with self.assertRaisesRegex(AssertionError, "t is queued"):
            assert_not_queued(self.task)
        self.assertEqual(len(queued(self.task)), 1)

    def test_definitions_vanish_with_the_block(self):
        with isolated_registries():
            self.assertEqual(tasks_registry, {})
            make_task("inside")
        self.assertEqual(list(tasks_registry), ["t"])
        with isolated_registries(empty=False):
            self.assertIn("t", tasks_registry)

    def test_what_is_no_task_is_refused(self):
        with self.assertRaisesRegex(TypeError, "expected a registered task"):
            assert_queued(len)


class BrokenTransactionTests(TestCase):
    """Tasks that break the transaction of the test that they run in."""

    def setUp(self):
        isolate_registries(self)

    def test_a_task_whose_query_fails_is_failed_and_the_others_run(self):
        def fails():
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM no_such_table")

        for options in ({}, {"atomic": True}, {"retries": 1}):
            with self.subTest(**options):
                TaskExec.objects.all().delete()
                tasks_registry.clear()
                before, bad = make_task("before"), make_task("bad", fails, **options)
                before.queue(1)
                bad.queue()
                make_task("after").queue(2)

                rows = run_queued()

                states = {row.task_name: row.state for row in rows}
                self.assertEqual(
                    states, {"before": "SUCCEEDED", "bad": "FAILED", "after": "SUCCEEDED"}
                )
                self.assertIn("no_such_table", next(r for r in rows if r.task_name == "bad").error)

    def test_one_that_asks_for_a_rollback_does_no_harm_to_the_test(self):
        def asks():
            Effect.objects.create(key="lost")
            transaction.set_rollback(True)

        make_task("bad", asks).queue()
        Effect.objects.create(key="kept")

        run_queued()

        self.assertEqual([effect.key for effect in Effect.objects.all()], ["kept"])

    def test_what_a_failed_task_wrote_stays_as_it_does_in_a_worker(self):
        def fails():
            Effect.objects.create(key="stays")
            raise ValueError

        make_task("bad", fails).queue()

        [row] = run_queued()

        self.assertEqual((row.state, Effect.objects.count()), ("FAILED", 1))


class OnCommitTests(TestCase):
    """What is to happen once a transaction has committed, in a test that never commits."""

    def setUp(self):
        isolate_registries(self)
        self.seen = []

    def test_without_the_option_it_never_happens(self):
        make_task("t", lambda: self.seen.append("ran"))
        transaction.on_commit(tasks_registry["t"].queue)

        self.assertEqual((run_queued(), self.seen), ([], []))

    def test_with_it_what_the_test_and_the_tasks_register_happens(self):
        make_task("last", lambda: self.seen.append("last"))
        make_task("first", lambda: transaction.on_commit(tasks_registry["last"].queue))
        with transaction.atomic():
            transaction.on_commit(tasks_registry["first"].queue)

        rows = run_queued(on_commit=True)

        self.assertEqual([row.task_name for row in rows], ["first", "last"])
        self.assertEqual(self.seen, ["last"])

    def test_what_a_broken_task_registered_does_not(self):
        def breaks():
            transaction.on_commit(lambda: self.seen.append("wrong"))
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM no_such_table")
            transaction.set_rollback(True)

        make_task("bad", breaks).queue()

        run_queued(on_commit=True)

        self.assertEqual(self.seen, [] if connection.vendor == "postgresql" else ["wrong"])
