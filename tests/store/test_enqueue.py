import threading
from datetime import timedelta
from unittest import skipIf

from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from tests.support import NOW, States, claim, isolate_registries, make_task, make_worker, reload


class EnqueueTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_call_is_one_queued_row(self):
        task = make_task(queue="q", priority=3, retries=2, retry_delay=60)

        row = reload(task.queue(1, b=2))

        self.assertEqual((row.task_name, row.queue, row.priority), ("t", "q", 3))
        self.assertEqual((row.args, row.kwargs), ([1], {"b": 2}))
        self.assertEqual((row.retries, row.retry_delay, row.state), (2, 60, "QUEUED"))
        self.assertEqual((row.stdout, row.stderr, row.error, row.result), ("", "", None, None))
        self.assertEqual((row.attempt, row.root_id, row.crash_count), (1, None, 0))

    def test_the_returned_row_equals_the_stored_one(self):
        row = make_task().queue(1, b=2)
        stored = reload(row)

        for field in TaskExec._meta.concrete_fields:
            self.assertEqual(getattr(row, field.attname), getattr(stored, field.attname), field)
        row.save()

    def test_it_costs_one_statement(self):
        task = make_task()

        with CaptureQueriesContext(
            connection,
        ) as queries:
            task.queue(1)

        self.assertEqual(len(queries), 1)

    def test_many_cost_one_statement_for_each_few_hundred(self):
        task = make_task()

        with CaptureQueriesContext(connection) as queries:
            rows = task.queue_many((n,) for n in range(600))

        inserts = [query for query in queries if "INSERT" in query["sql"]]
        self.assertLessEqual(
            len(inserts), 3 if connection.features.can_return_rows_from_bulk_insert else 600
        )
        self.assertEqual(
            [reload(row).args for row in rows[::100]], [[n] for n in range(0, 600, 100)]
        )

    def test_many_take_tuples_mappings_and_single_values(self):
        rows = make_task().queue_many([(1, 2), {"a": 3}, 4])

        self.assertEqual([row.args for row in rows], [[1, 2], [], [4]])
        self.assertEqual(rows[1].kwargs, {"a": 3})

    def test_none_is_no_error(self):
        self.assertEqual(make_task().queue_many([]), [])

    def test_with_due_it_sleeps_even_in_the_past(self):
        task = make_task()

        for due in (NOW - timedelta(1), timezone.now() + timedelta(1)):
            row = reload(task.queue(due=due))
            self.assertEqual((row.state, row.due), (States.SLEEPING, due))

    def test_using_sets_due_queue_and_priority(self):
        row = make_task(priority=1).using(priority=7, queue="q", due=NOW).queue()

        self.assertEqual((row.priority, row.queue, row.due, row.state), (7, "q", NOW, "SLEEPING"))

    def test_expires_counts_from_the_call(self):
        row = make_task(expires=timedelta(hours=1)).queue()

        self.assertEqual(row.expires - row.created, timedelta(hours=1))

    def test_arguments_that_do_not_fit_are_refused_and_nothing_is_stored(self):
        task = make_task(func=lambda a: None)

        with self.assertRaises(InvalidArguments):
            task.queue()
        with self.assertRaises(InvalidArguments):
            task.queue_many([(1,), (2, 3)])
        self.assertEqual(TaskExec.objects.count(), 0)

    def test_arguments_that_cannot_be_pickled_are_named(self):
        task = make_task()

        with self.assertRaisesRegex(InvalidArguments, "argument number 2, _thread.lock"):
            task.queue(1, threading.Lock())
        with self.assertRaisesRegex(InvalidArguments, "argument 'lock', _thread.lock"):
            task.queue(1, lock=threading.Lock())

    def test_a_row_made_by_hand_takes_queue_and_priority_of_its_task(self):
        make_task(queue="q", priority=4)

        row = TaskExec.objects.create(task_name="t", args=["test"])

        self.assertEqual((row.queue, row.priority, reload(row).args), ("q", 4, ["test"]))
        self.assertEqual(TaskExec.objects.create(task_name="unknown").queue, "default")


class UniqueTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task(func=lambda a=0, b=1: None, unique=True)

    def test_a_waiting_call_is_returned_again(self):
        first = self.task.queue(1)

        self.assertEqual(self.task.queue(1).pk, first.pk)
        self.assertEqual(self.task.queue(a=1).pk, first.pk)
        self.assertEqual(self.task.queue(1, b=1).pk, first.pk)
        self.assertNotEqual(self.task.queue(2).pk, first.pk)

    @skipIf(connection.vendor == "mysql", "does not tell a new row from one that waits")
    def test_it_costs_one_statement_when_it_is_new(self):
        with CaptureQueriesContext(connection) as queries:
            self.task.queue(1)

        self.assertEqual(len(queries), 1)

    def test_a_sleeping_one_becomes_queued_by_a_call_without_due(self):
        first = self.task.queue(due=timezone.now() + timedelta(hours=1))

        again = self.task.queue()

        self.assertEqual((again.pk, reload(first).state), (first.pk, "QUEUED"))
        self.assertLessEqual(reload(first).due, timezone.now())

    def test_an_earlier_due_moves_it_forward_and_a_later_one_changes_nothing(self):
        first = self.task.queue(due=NOW + timedelta(hours=2))

        self.task.queue(due=NOW + timedelta(hours=3))
        self.assertEqual(reload(first).due, NOW + timedelta(hours=2))
        self.task.queue(due=NOW + timedelta(hours=1))
        self.assertEqual(reload(first).due, NOW + timedelta(hours=1))
        self.assertEqual(reload(first).state, "SLEEPING")

    def test_a_claimed_one_does_not_block_the_next(self):
        first = self.task.queue()
        claim(make_worker())

        self.assertNotEqual(self.task.queue().pk, first.pk)

    def test_many_calls_with_equal_arguments_are_one_row(self):
        rows = self.task.queue_many([(2,), (1,), (2,), (1, 1)])

        self.assertEqual(TaskExec.objects.count(), 2)
        self.assertEqual(rows[0].pk, rows[2].pk)
        self.assertEqual([row.args[0] for row in rows], [2, 1, 2, 1])

    def test_unique_by_says_what_is_compared(self):
        task = make_task("mail", lambda to, body: None, unique_by=lambda to, body: to)

        first = task.queue("a", "one")

        self.assertEqual(task.queue("a", "two").pk, first.pk)
        self.assertNotEqual(task.queue("b", "two").pk, first.pk)


class TransactionTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_call_is_rolled_back_with_its_caller(self):
        plain, unique = make_task("plain"), make_task("unique", unique=True)

        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            plain.queue()
            unique.queue()
            plain.queue_many([(1,), (2,)])
            raise ZeroDivisionError

        self.assertEqual(TaskExec.objects.count(), 0)


class RequeueTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_the_same_call_is_a_new_row_and_history_stays(self):
        task = make_task(retries=3, queue="q", priority=2)
        old = task.queue(1, b=2)
        TaskExec.objects.filter(pk=old.pk).update(state="FAILED", retries=0, error="boom")

        new = reload(task_execs.requeue(reload(old), NOW))

        self.assertEqual((new.args, new.kwargs, new.state), ([1], {"b": 2}, "QUEUED"))
        self.assertEqual((new.queue, new.priority, new.retries, new.due), ("q", 2, 3, NOW))
        self.assertEqual((reload(old).state, reload(old).error), ("FAILED", "boom"))

    def test_a_unique_call_that_waits_already_is_not_doubled(self):
        task = make_task(unique=True)
        old = task.queue()
        claim(make_worker())
        waiting = task.queue()

        self.assertEqual(task_execs.requeue(reload(old), NOW).pk, waiting.pk)

    def test_an_unreadable_call_is_refused_with_the_reason(self):
        row = TaskExec.objects.create(task_name="t")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE toosimpleq_taskexec SET args = 'gASVAAAAAAAA'")

        with self.assertRaisesRegex(InvalidArguments, "args: is not signed"):
            task_execs.requeue(reload(row), NOW)
