"""What two sessions do to each other for real: deadlocks, lost races, locks that are not let go."""

import threading
from unittest import mock

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.test import TestCase, TransactionTestCase

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import insert, limits, task_execs, workers
from django_toosimple_q.store import transaction as store_transaction
from django_toosimple_q.store.task_execs import Bucket
from django_toosimple_q.throttle import Throttle
from tests.faults.sessions import elsewhere, opened_with, other_session
from tests.faults.wrapper import deadlock
from tests.support import (
    NOW,
    claim,
    claim_from,
    isolate_registries,
    make_task,
    make_worker,
    states,
    wait_for,
)

IMPATIENT = {
    "sqlite": "PRAGMA busy_timeout = 50",
}
WAITING = {
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = CURRENT_DATABASE()",
    "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


def only_on(*vendors):
    return pytest.mark.skipif(connection.vendor not in vendors, reason=f"of {vendors} only")


class ConflictTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        make_task().queue_many([(1,), (2,)])
        self.me = make_worker()
        self.claimed = claim(self.me)
        self.errors = []
        self.failed = threading.Condition()
        self.addCleanup(connection.close)
        self.enterContext(connection.execute_wrapper(self.count_errors))

    def count_errors(self, execute, *args):
        try:
            return execute(*args)
        except DatabaseError as error:
            with self.failed:
                self.errors.append(error)
                self.failed.notify_all()
            raise

    def finish_both(self, claimed=None):
        finished = [(row, Outcome("SUCCEEDED", NOW, NOW)) for row in claimed or self.claimed]
        return task_execs.finish(finished, self.me.worker_id, NOW)

    def touch(self, cursor, number):
        cursor.execute(
            "UPDATE toosimpleq_taskexec SET priority = priority + 1 WHERE id = %s",
            [self.claimed[number].pk],
        )

    def beside(self, act, number=1):
        """Let another session, which holds the second row, go on with `act` meanwhile."""
        held, problems = threading.Event(), []

        def run():
            try:
                with other_session() as other, other.cursor() as cursor:
                    cursor.execute("BEGIN IMMEDIATE" if other.vendor == "sqlite" else "BEGIN")
                    self.touch(cursor, number)
                    held.set()
                    act(cursor)
                    cursor.execute("COMMIT")
            except BaseException as error:
                problems.append(error)
                held.set()

        thread = threading.Thread(target=run)
        thread.start()
        held.wait(10)

        def end():
            thread.join(30)
            self.assertEqual(problems, [])

        return end

    def until_somebody_waits(self, cursor):
        """Wait until a session is kept by a lock; seen from a third one, with its own snapshot."""

        def somebody_waits():
            with other_session() as third, third.cursor() as look:
                look.execute(WAITING[third.vendor])
                return look.fetchone()[0]

        # InnoDB shows the same again to who asks more than ten times a second.
        wait_for(somebody_waits, every=0.15)

    def until_failures(self, count):
        with self.failed:
            self.failed.wait_for(lambda: len(self.errors) >= count, timeout=20)

    @only_on("postgresql", "mysql")
    def test_the_victim_of_a_deadlock_does_its_step_again(self):
        def close_the_ring(cursor):
            # InnoDB chooses as its victim who has written less: not us.
            for _ in range(50):
                self.touch(cursor, 1)
            self.until_somebody_waits(cursor)
            self.touch(cursor, 0)

        end = self.beside(close_the_ring)

        kept = self.finish_both()

        end()
        self.assertEqual((len(kept), states()), (2, ["SUCCEEDED"] * 2))
        self.assertRegex(str(self.errors[0]), "(?i)deadlock")

    @only_on("postgresql")
    def test_outcomes_are_written_in_the_order_of_their_ids_whatever_ended_first(self):
        with connection.cursor() as cursor:
            # As autovacuum does. The plan for a few rows goes through the outcomes in their order.
            cursor.execute("ANALYZE toosimpleq_taskexec")

        def go_on_to_the_second(cursor):
            self.until_somebody_waits(cursor)
            self.touch(cursor, 1)

        end = self.beside(go_on_to_the_second, number=0)

        kept = self.finish_both(self.claimed[::-1])

        end()
        self.assertEqual((len(kept), states()), (2, ["SUCCEEDED"] * 2))
        self.assertEqual(self.errors, [], "they have waited for each other in a ring")

    @only_on("postgresql")
    def test_who_lost_a_race_under_a_strict_isolation_does_its_step_again(self):
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_isolation = 'repeatable read'")
        end = self.beside(self.until_somebody_waits)

        kept = self.finish_both()

        end()
        self.assertEqual((len(kept), states()), (2, ["SUCCEEDED"] * 2))
        self.assertIn("could not serialize", str(self.errors[0]))

    @only_on("postgresql", "mysql")
    def test_a_lock_that_is_held_for_long_is_waited_for_within_bounds_and_reported_once(self):
        finished = [(row, Outcome("SUCCEEDED", NOW, NOW)) for row in self.claimed]
        free, held = (row.pk for row in self.claimed)
        done = threading.Event()
        end = self.beside(lambda cursor: done.wait(30))

        with (
            mock.patch.object(store_transaction.patience, "lock_reports", Throttle(60)),
            self.assertLogs("toosimpleq", "WARNING") as logs,
        ):
            for _ in range(2):
                with self.assertRaises(OperationalError) as raised:
                    task_execs.finish(finished, self.me.worker_id, NOW)
                self.assertTrue(store_transaction.is_locked(raised.exception))
            found = [task_execs.finish_unlocked(finished, self.me.worker_id, NOW) for _ in range(2)]

        done.set()
        end()
        self.assertEqual(found, [({free}, {held}), (set(), {held})])
        last = task_execs.finish_unlocked(finished[1:], self.me.worker_id, NOW)
        self.assertEqual((last, states()), (({held}, set()), ["SUCCEEDED"] * 2))
        [told] = logs.output
        self.assertIn("database is busy, trying again: failures=1", told)

    @only_on("sqlite")
    def test_a_file_that_is_busy_for_long_is_asked_again_more_often_than_elsewhere(self):
        with connection.cursor() as cursor:
            cursor.execute(IMPATIENT[connection.vendor])
        end = self.beside(lambda cursor: self.until_failures(store_transaction.ATTEMPTS + 2))

        with (
            mock.patch.object(store_transaction, "LOGGED_AFTER_SECONDS", 0.2),
            self.assertLogs("toosimpleq", "WARNING") as logs,
        ):
            kept = self.finish_both()

        end()
        self.assertEqual((len(kept), states()), (2, ["SUCCEEDED"] * 2))
        [told] = logs.output
        self.assertIn("database is busy, trying again", told)

    @only_on("sqlite")
    def test_a_call_waits_for_a_busy_file_as_well(self):
        with connection.cursor() as cursor:
            cursor.execute(IMPATIENT[connection.vendor])
        end = self.beside(lambda cursor: self.until_failures(store_transaction.ATTEMPTS + 2))

        make_task("other").queue()

        end()
        self.assertEqual(states(), ["PROCESSING", "PROCESSING", "QUEUED"])


@only_on("mysql")
class StrictIsolationTests(TransactionTestCase):
    """InnoDB shows a transaction what there was when it first read, and lets it write beyond."""

    def setUp(self):
        isolate_registries(self)
        self.me, self.other = make_worker(), make_worker("other", "j")
        self.buckets = [Bucket("default", "few")]

    def claim_beside(self):
        def run():
            try:
                claim_from(self.other, self.buckets, 1, NOW)
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(30)

    def test_a_limit_holds_for_one_that_finishes_and_claims_at_once(self):
        make_task("failing", retries=1).queue()
        failing = claim(self.me)
        make_task("few", max_running=1).queue_many(range(2))
        failed = Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(60, 0, 1))
        lock = limits.lock

        def overtaken(*args):
            with mock.patch.object(limits, "lock", lock):
                self.claim_beside()
            return lock(*args)

        with (
            opened_with("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
            mock.patch.object(limits, "lock", overtaken),
        ):
            kept, claimed = task_execs.finish_and_claim(
                [(failing[0], failed)], self.me, self.buckets, 1, NOW
            )

        self.assertEqual((len(kept), claimed), (1, []))
        self.assertEqual(sorted(states()), ["FAILED", "PROCESSING", "QUEUED", "SLEEPING"])


class MeetingTests(TransactionTestCase):
    """One session has not committed yet: the other takes nothing of it, and does not wait."""

    def setUp(self):
        isolate_registries(self)

    @only_on("postgresql", "mysql")
    def test_a_waiting_row_that_a_caller_was_given_is_not_claimed_before_its_commit(self):
        task = make_task(unique=True)
        first = task.queue()
        me = make_worker()

        with transaction.atomic():
            self.assertEqual(task.queue().pk, first.pk)
            self.assertEqual(elsewhere(lambda: claim(me)), [])

        self.assertEqual([row.pk for row in claim(me)], [first.pk])

    @only_on("postgresql", "mysql")
    def test_of_two_that_rescue_at_once_one_replaces_the_row(self):
        dead = make_worker()
        make_task().queue()
        claim(dead)
        workers.declare_gone(WorkerStatus.objects.get(), NOW)

        with transaction.atomic():
            self.assertEqual(len(task_execs.rescue(NOW)), 1)
            self.assertEqual(elsewhere(lambda: task_execs.rescue(NOW)), [])

        self.assertEqual(TaskExec.objects.count(), 2)


class OrderTests(TransactionTestCase):
    """Two callers that queue the same unique calls: the second waits for the first only."""

    def setUp(self):
        isolate_registries(self)
        self.task = make_task(unique=True)
        self.errors = []
        self.threads = []

    def run_beside(self, act):
        """Start `act` in a session of its own, and wait until a lock keeps it."""

        def run():
            try:
                with connection.execute_wrapper(self.keep_errors):
                    act()
            finally:
                connections.close_all()

        self.threads.append(threading.Thread(target=run))
        self.threads[0].start()
        wait_for(self.one_waits, every=0.15)

    def one_waits(self):
        with other_session() as third, third.cursor() as cursor:
            cursor.execute(WAITING[third.vendor])
            return cursor.fetchone()[0]

    def keep_errors(self, execute, *args):
        try:
            return execute(*args)
        except DatabaseError as error:
            self.errors.append(error)
            raise

    @only_on("postgresql", "mysql")
    def test_unique_calls_are_inserted_in_one_order_whatever_their_callers_order_is(self):
        calls = [("a",), ("b",)]

        def after_the_first(execute, sql, *args):
            done = execute(sql, *args)
            if sql.startswith("INSERT") and not self.threads:
                self.run_beside(lambda: self.task.queue_many(calls[::-1]))
            return done

        with (
            mock.patch.object(insert, "ROWS_PER_STATEMENT", 1),
            connection.execute_wrapper(self.keep_errors),
            connection.execute_wrapper(after_the_first),
        ):
            self.task.queue_many(calls)
            self.threads[0].join(30)

        self.assertEqual(states(), ["QUEUED", "QUEUED"])
        self.assertEqual(self.errors, [], "they have waited for each other in a ring")


class RepeatTests(TestCase):
    @only_on("postgresql", "mysql")
    def test_a_step_is_repeated_ten_times_at_most(self):
        attempt = mock.Mock(side_effect=deadlock(connection.vendor))

        with mock.patch("time.sleep"), self.assertRaises(OperationalError):
            store_transaction.repeat(attempt, connection)

        self.assertEqual(attempt.call_count, 10)
