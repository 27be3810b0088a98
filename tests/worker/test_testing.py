"""The helpers that projects use in their own tests."""

from datetime import timedelta

from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.testing import (
    assert_not_queued,
    assert_queued,
    isolated_registries,
    queued,
    run_queued,
)
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
