"""Calls that wait can be moved in time, to another queue and priority; no others."""

from datetime import timedelta

from django.test import TestCase

from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import Change
from tests.support import NOW, States, claim, isolate_registries, make_task, make_worker, reload

LATER = NOW + timedelta(hours=1)


class RescheduleTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task()

    def row(self, state, **fields):
        return TaskExec.objects.create(task_name="t", state=state, due=NOW, queue="a", **fields)

    def test_what_is_not_given_stays(self):
        row = self.row(States.QUEUED, priority=3)

        self.assertTrue(task_execs.reschedule(row.pk, Change(queue="b"), NOW))

        found = reload(row)
        self.assertEqual((found.queue, found.priority, found.due), ("b", 3, NOW))
        self.assertEqual(found.state, States.QUEUED)

    def test_a_due_date_ahead_makes_it_sleep_and_one_that_has_passed_wakes_it(self):
        row = self.row(States.QUEUED)

        task_execs.reschedule(row.pk, Change(due=LATER), NOW)
        self.assertEqual((reload(row).state, reload(row).due), (States.SLEEPING, LATER))
        self.assertEqual(claim(make_worker("w1")), [])

        task_execs.reschedule(row.pk, Change(due=NOW), NOW)
        self.assertEqual(reload(row).state, States.QUEUED)
        self.assertEqual(len(claim(make_worker("w2", "j"))), 1)

    def test_a_larger_priority_is_claimed_first(self):
        first, second = self.task.queue(), self.task.queue()

        task_execs.reschedule(second.pk, Change(priority=9), NOW)

        later = first.created + timedelta(hours=1)
        [row] = claim(make_worker(), limit=1, now=later)
        self.assertEqual(row.pk, second.pk)

    def test_a_call_that_does_not_wait_is_left_alone(self):
        for state in (States.PROCESSING, *States.done()):
            row = self.row(state)

            self.assertFalse(task_execs.reschedule(row.pk, Change(priority=9, due=LATER), NOW))
            self.assertFalse(task_execs.run_now(row.pk, NOW))

            found = reload(row)
            self.assertEqual((found.priority, found.state, found.due), (0, state, NOW))

    def test_no_change_is_none(self):
        self.assertFalse(task_execs.reschedule(self.row(States.QUEUED).pk, Change(), NOW))

    def test_running_now(self):
        row = self.row(States.SLEEPING)
        TaskExec.objects.update(due=LATER)

        self.assertTrue(task_execs.run_now(row.pk, NOW))

        self.assertEqual((reload(row).state, reload(row).due), (States.QUEUED, NOW))

    def test_a_call_that_waits_already_keeps_its_place(self):
        row = self.row(States.QUEUED)

        self.assertFalse(task_execs.run_now(row.pk, LATER))

        self.assertEqual(reload(row).due, NOW)
