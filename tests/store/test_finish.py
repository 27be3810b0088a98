from datetime import timedelta
from unittest import mock, skipUnless

from django.db import DataError, connection
from django.test import TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext

from django_toosimple_q.databases import database_of
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.task_execs import Bucket
from django_toosimple_q.worker.execution.executor import store_result
from tests.support import (
    NOW,
    ago,
    claim,
    isolate_registries,
    make_task,
    make_worker,
    reload,
    states,
)


class FinishTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task(retries=2, retry_delay=10)
        self.me = make_worker()

    def claimed(self, count=1, task=None):
        (task or self.task).queue_many([(n,) for n in range(count)])
        return claim(self.me)

    def finish(self, *finished):
        return task_execs.finish(finished, self.me.worker_id, NOW)

    def test_an_outcome_is_written_whole(self):
        [claimed] = self.claimed()
        sealed, preview = store_result(self.task.task, {"x": 1})

        kept = self.finish(
            (
                claimed,
                Outcome(
                    "SUCCEEDED",
                    *(ago(seconds=2), ago(seconds=1), sealed, preview),
                    stdout="o",
                    stderr="e",
                ),
            )
        )

        row = reload(claimed)
        self.assertEqual(kept, {claimed.pk})
        self.assertEqual(
            (row.state, row.result, row.result_preview), ("SUCCEEDED", {"x": 1}, "{'x': 1}")
        )
        self.assertEqual((row.started, row.finished), (ago(seconds=2), ago(seconds=1)))
        self.assertEqual((row.stdout, row.stderr, row.error), ("o", "e", None))
        self.assertEqual(row.worker_id, self.me.worker_id)

    def test_a_batch_is_written_by_one_statement(self):
        claimed = self.claimed(20)

        with CaptureQueriesContext(connection) as queries:
            kept = self.finish(*((one, Outcome("SUCCEEDED", NOW, NOW)) for one in claimed))

        self.assertEqual(len(kept), 20)
        # In the transaction of a test there is a savepoint around them.
        statements = [one["sql"] for one in queries if "SAVEPOINT" not in one["sql"]]
        self.assertEqual(len(statements), 2 if connection.vendor == "mysql" else 1)

    def test_a_task_that_was_rescued_is_refused(self):
        [claimed] = self.claimed()
        workers.declare_gone(self.row(), NOW)
        [rescue] = task_execs.rescue(NOW)

        kept = self.finish((claimed, Outcome("SUCCEEDED", NOW, NOW)))

        self.assertEqual(kept, set())
        row = reload(claimed)
        self.assertEqual((row.state, row.replaced_by_id), ("INTERRUPTED", rescue.replaced_by))

    def test_another_worker_s_task_is_refused(self):
        [claimed] = self.claimed()

        kept = task_execs.finish(
            [(claimed, Outcome("SUCCEEDED", NOW, NOW))], self.me.worker_id + 1, NOW
        )

        self.assertEqual((kept, reload(claimed).state), (set(), "PROCESSING"))

    def test_finishing_twice_changes_nothing(self):
        [claimed] = self.claimed()
        failed = Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(10, 1, 20))
        self.finish((claimed, failed))

        self.assertEqual(self.finish((claimed, failed)), set())
        self.assertEqual(TaskExec.objects.count(), 2)

    def test_a_retry_is_a_sleeping_row_with_the_same_bytes(self):
        [claimed] = self.claimed()

        self.finish(
            (
                claimed,
                Outcome("FAILED", NOW, NOW, error="boom", next_attempt=NextAttempt(10, 1, 20)),
            )
        )

        first = reload(claimed)
        second = first.replaced_by
        self.assertEqual((first.state, first.error), ("FAILED", "boom"))
        self.assertEqual((second.state, (second.due - NOW).total_seconds()), ("SLEEPING", 10))
        self.assertEqual((second.retries, second.retry_delay), (1, 20))
        self.assertEqual((second.attempt, second.root_id, second.args), (2, first.pk, [0]))
        self.assertEqual(raw_args(first), raw_args(second))

    def test_a_delay_of_less_than_a_second_is_slept_as_well(self):
        for seconds in (0.5, 1):
            with self.subTest(seconds=seconds):
                [claimed] = self.claimed()

                self.finish(
                    (claimed, Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(seconds, 1, 0)))
                )

                new = reload(claimed).replaced_by
                self.assertEqual(
                    (new.state, (new.due - NOW).total_seconds()), ("SLEEPING", seconds)
                )

    def test_a_replacement_is_the_same_call(self):
        task = make_task(
            "whole",
            queue="mail",
            priority=7,
            timeout=9,
            expires=timedelta(days=1),
            max_running=2,
            on_interruption="hold",
            unique=True,
        )
        task.queue(1, a=2)
        [claimed] = claim(self.me, queues=["mail"])

        self.finish((claimed, Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(0, 1, 0))))

        old = reload(claimed)
        same = ("task_name", "args", "kwargs", "queue", "priority", "timeout", "expires")
        same += ("concurrency_key", "hold", "exclusive", "unique_hash")
        for name in same:
            self.assertEqual(getattr(old.replaced_by, name), getattr(old, name), name)
        self.assertEqual((old.queue, old.timeout, old.hold), ("mail", 9, True))
        self.assertIsNotNone(old.expires)

    def test_a_third_attempt_keeps_the_root(self):
        [claimed] = self.claimed()
        failed = Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(0, 1, 20))
        self.finish((claimed, failed))
        task_execs.wake(NOW)
        [second] = claim(self.me)
        self.finish((second, failed))

        third = TaskExec.objects.latest("pk")
        self.assertEqual((third.attempt, third.root_id), (3, claimed.pk))

    def test_an_interrupted_call_is_replaced_at_once_at_no_retry_s_cost(self):
        [claimed] = self.claimed()

        self.finish((claimed, Outcome("INTERRUPTED", NOW, NOW, error="SIGTERM", replaced=True)))

        second = reload(claimed).replaced_by
        self.assertEqual((second.state, second.due, second.retries), ("QUEUED", NOW, 2))

    def test_the_retry_of_a_unique_call_merges_into_the_one_that_waits(self):
        task = make_task("u", lambda n: None, unique=True, retries=5)
        [claimed] = self.claimed(task=task)
        waiting = task.queue(0)
        TaskExec.objects.filter(pk=waiting.pk).update(retries=1)

        self.finish((claimed, Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(10, 4, 20))))

        self.assertEqual(reload(claimed).replaced_by_id, waiting.pk)
        self.assertEqual((reload(waiting).state, reload(waiting).retries), ("QUEUED", 4))

    def test_a_call_that_comes_while_a_retry_waits_leaves_it_what_it_has_left(self):
        for retries in (5, -1):
            with self.subTest(retries=retries):
                TaskExec.objects.all().delete()
                tasks_registry.clear()
                task = make_task("u", lambda n: None, unique=True, retries=retries)
                task.queue(1)
                self.fail_once(retries=2)

                again = task.queue(1)

                self.assertEqual((again.attempt, again.retries, again.state), (2, 2, "QUEUED"))

    def test_one_that_is_queued_all_the_time_gives_up_in_the_end(self):
        task = make_task("u", lambda n: None, unique=True, retries=3)
        task.queue(1)

        for left in (2, 1, 0, None):
            self.fail_once(retries=left)
            if left is not None:
                task.queue(1)

        self.assertEqual(states(), ["FAILED"] * 4)

    def test_a_retry_that_meets_a_retry_leaves_it_the_larger_number(self):
        task = make_task("u", lambda n: None, unique=True, retries=5)
        task.queue(1)
        self.fail_once(retries=1)
        claimed = claim(self.me, now=NOW + timedelta(hours=1))
        self.assertEqual(claimed, [])
        TaskExec.objects.filter(state="SLEEPING").update(state="QUEUED")
        [second] = claim(self.me)
        waiting = task.queue(1)
        TaskExec.objects.filter(pk=waiting.pk).update(attempt=4, retries=0)
        again = NextAttempt(delay_seconds=1, retries=3, retry_delay=1)

        self.finish((second, Outcome("FAILED", NOW, NOW, next_attempt=again)))

        self.assertEqual(reload(waiting).retries, 3)

    def fail_once(self, retries):
        """Let the next run fail, and leave its retry so many retries; None is no retry."""
        [claimed] = claim(self.me)
        again = None if retries is None else NextAttempt(60, retries, 60)
        self.finish((claimed, Outcome("FAILED", NOW, NOW, next_attempt=again)))

    def test_of_two_numbers_of_retries_without_end_is_the_larger(self):
        task = make_task("u", lambda n: None, unique=True, retries=5)
        [claimed] = self.claimed(task=task)
        waiting = task.queue(0)
        TaskExec.objects.filter(pk=waiting.pk).update(retries=-1)

        self.finish((claimed, Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(10, 4, 20))))

        self.assertEqual(reload(waiting).retries, -1)

    def test_a_mixed_batch_links_each_failure_to_its_own_retry(self):
        claimed = self.claimed(6)
        finished = [
            (one, Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(0, 1, 1)))
            if number % 2
            else (one, Outcome("SUCCEEDED", NOW, NOW))
            for number, one in enumerate(claimed)
        ]

        self.finish(*reversed(finished))

        for number, one in enumerate(claimed):
            following = reload(one).replaced_by
            self.assertEqual(following and following.args, [number] if number % 2 else None)

    def test_one_outcome_that_the_database_refuses_leaves_its_neighbours(self):
        claimed = self.claimed(3)
        database = type(database_of(connection))
        update_rows = database.update_rows

        def refuse(self, connection, columns, rows, worker_id):
            if any("poison" in str(row) for row in rows):
                raise DataError("refused \u20ac\x00")
            return update_rows(self, connection, columns, rows, worker_id)

        with mock.patch.object(database, "update_rows", refuse):
            kept = self.finish(
                *(
                    (one, Outcome("SUCCEEDED", NOW, NOW, stdout="poison" * (one is claimed[1])))
                    for one in claimed
                )
            )

        self.assertEqual(len(kept), 3)
        self.assertEqual(
            [reload(one).state for one in claimed], ["SUCCEEDED", "FAILED", "SUCCEEDED"]
        )
        self.assertIn("the database refused", reload(claimed[1]).error)

    @skipUnless(
        connection.vendor == "sqlite", "its driver encodes texts, and refuses before it asks"
    )
    def test_an_outcome_that_the_driver_refuses_leaves_its_neighbours_when_more_is_claimed(self):
        claimed = self.claimed(3)
        waiting = self.task.queue()
        outcomes = [Outcome("SUCCEEDED", NOW, NOW, stdout=text) for text in ("a", "\ud800", "c")]

        kept, more = task_execs.finish_and_claim(
            list(zip(claimed, outcomes, strict=True)), self.me, [Bucket("default")], 1, NOW
        )

        self.assertEqual((len(kept), [one.pk for one in more]), (3, [waiting.pk]))
        self.assertEqual(
            [reload(one).state for one in claimed], ["SUCCEEDED", "FAILED", "SUCCEEDED"]
        )

    @skipUnless(connection.vendor == "mysql", "a packet is MariaDB's and MySQL's")
    def test_results_that_are_too_large_together_are_written(self):
        claimed = self.claimed(20)

        kept = self.finish(
            *(
                (one, Outcome("SUCCEEDED", NOW, NOW, result="v1." + "A" * 950_000))
                for one in claimed
            )
        )

        self.assertEqual(kept, {one.pk for one in claimed})

    @skipUnless(connection.vendor == "mysql", "a packet is MariaDB's and MySQL's")
    def test_a_result_that_no_packet_carries_fails_its_task_alone(self):
        claimed = self.claimed(2)
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@max_allowed_packet")
            [most] = cursor.fetchone()

        kept = self.finish(
            (claimed[0], Outcome("SUCCEEDED", NOW, NOW, result="A" * most)),
            (claimed[1], Outcome("SUCCEEDED", NOW, NOW)),
        )

        self.assertEqual(kept, {one.pk for one in claimed})
        self.assertEqual([reload(one).state for one in claimed], ["FAILED", "SUCCEEDED"])
        self.assertIn("max_allowed_packet", reload(claimed[0]).error)

    def row(self):
        from django_toosimple_q.models import WorkerStatus

        return WorkerStatus.objects.get(pk=self.me.worker_id)


@skipUnless(connection.vendor == "mysql", "only there a column may lack emoji")
class ThreeByteTests(TransactionTestCase):
    """Tables of a database in MariaDB's three-byte UTF-8."""

    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()
        self.addCleanup(self.change_charset, "utf8mb4")
        self.change_charset("utf8mb3")

    def change_charset(self, charset):
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE toosimpleq_taskexec"
                f" MODIFY stdout longtext CHARACTER SET {charset} NOT NULL DEFAULT ''"
            )

    def test_a_printed_emoji_fails_its_task_and_no_neighbour(self):
        make_task().queue_many([(1,), (2,)])
        claimed = claim(self.me)

        task_execs.finish(
            [
                (claimed[0], Outcome("SUCCEEDED", NOW, NOW, stdout="\U0001f600")),
                (claimed[1], Outcome("SUCCEEDED", NOW, NOW)),
            ],
            self.me.worker_id,
            NOW,
        )

        self.assertEqual([reload(one).state for one in claimed], ["FAILED", "SUCCEEDED"])
        self.assertIn("1366", reload(claimed[0]).error)


class FinishAndClaimTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()

    def test_it_finishes_and_claims_together(self):
        task = make_task()
        task.queue_many([(1,), (2,), (3,)])
        first = claim(self.me, limit=1)

        kept, claimed = task_execs.finish_and_claim(
            [(first[0], Outcome("SUCCEEDED", NOW, NOW))], self.me, [Bucket("default")], 10, NOW
        )

        self.assertEqual(kept, {first[0].pk})
        self.assertEqual([one.arguments()[0] for one in claimed], [[2], [3]])
        self.assertEqual(reload(first[0]).state, "SUCCEEDED")


class ReleaseTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()

    def test_rows_that_did_not_start_are_queued_again(self):
        make_task().queue_many([(1,), (2,)])
        claimed = claim(self.me)

        task_execs.release(claimed, self.me.worker_id, NOW)

        for one in claimed:
            row = reload(one)
            self.assertEqual((row.state, row.worker_id, row.started), ("QUEUED", None, None))

    def test_with_a_pause_they_sleep_first(self):
        plain, unique = make_task("plain"), make_task("unique", unique=True)
        rows = [plain.queue(), unique.queue()]
        claimed = [*claim(self.me), *claim(self.me)]

        task_execs.release(claimed, self.me.worker_id, NOW, pause_seconds=60)

        for row in (reload(rows[0]), reload(rows[1]).replaced_by):
            state = (row.state, row.due, row.worker_id)
            self.assertEqual(state, ("SLEEPING", NOW + timedelta(minutes=1), None))

    def test_rows_of_others_are_left(self):
        make_task().queue()
        claimed = claim(self.me)

        self.assertEqual(task_execs.release(claimed, self.me.worker_id + 1, NOW), set())
        self.assertEqual(reload(claimed[0]).state, "PROCESSING")

    def test_a_unique_row_merges_into_one_that_waits(self):
        task = make_task(unique=True)
        task.queue()
        claimed = claim(self.me)
        waiting = task.queue()

        task_execs.release(claimed, self.me.worker_id, NOW)

        old = reload(claimed[0])
        self.assertEqual((old.state, old.replaced_by_id), ("INTERRUPTED", waiting.pk))
        self.assertEqual(old.error, "released before it started")


def raw_args(row):
    with connection.cursor() as cursor:
        cursor.execute("SELECT args FROM toosimpleq_taskexec WHERE id = %s", [row.pk])
        return cursor.fetchone()[0]
