from contextlib import contextmanager
from unittest import mock

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.test import TransactionTestCase

from django_toosimple_q.databases.sqlite import SQLite
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.worker.execution.executor import failure
from tests.app.models import Effect
from tests.faults.sessions import other_session
from tests.faults.wrapper import LOST_AFTER, LOST_BEFORE, Faults, cut
from tests.support import NOW, claim, isolate_registries, make_task, make_worker, reload


def lose():
    raise OperationalError("server closed the connection")


class AtomicTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        make_task(atomic=True).queue()
        self.me = make_worker()
        [self.claimed] = claim(self.me)

    def run_call(self, act, state="SUCCEEDED", **more):
        def run():
            Effect.objects.create(key="done")
            act()
            return Outcome(state, NOW, NOW, **more)

        return task_execs.run_atomically(
            run, self.claimed, self.me.worker_id, lambda: NOW, self.failed
        )

    def failed(self, error):
        return failure(tasks_registry["t"], self.claimed, error)

    def test_effects_and_outcome_are_committed_together(self):
        _, written = self.run_call(lambda: None)

        self.assertTrue(written)
        self.assertEqual((Effect.objects.count(), reload(self.claimed).state), (1, "SUCCEEDED"))

    def test_a_failure_takes_its_effects_back_and_leaves_its_outcome(self):
        outcome, written = self.run_call(lambda: None, "FAILED")

        self.assertEqual((outcome.state, written), ("FAILED", False))
        self.assertEqual((Effect.objects.count(), reload(self.claimed).state), (0, "PROCESSING"))

    def test_a_row_that_was_rescued_meanwhile_takes_the_effects_back(self):
        workers.declare_gone(WorkerStatus.objects.get(pk=self.me.worker_id), NOW)
        task_execs.rescue(NOW)

        _, written = self.run_call(lambda: None)

        self.assertFalse(written)
        self.assertEqual((Effect.objects.count(), reload(self.claimed).state), (0, "INTERRUPTED"))

    def test_a_lost_connection_replaces_the_call(self):
        outcome, written = self.run_call(lose)

        self.assertEqual((outcome.state, outcome.replaced, written), ("INTERRUPTED", True, False))
        self.assertEqual(Effect.objects.count(), 0)

    def test_each_loss_of_its_connection_lets_a_call_wait_longer(self):
        pauses = []
        for self.claimed.attempt in (1, 2, 3, 20, 2000):
            outcome, _ = self.run_call(lose)
            pauses.append(outcome.pause_seconds)

        self.assertEqual(pauses, [0.1, 0.2, 0.4, 60, 60])

    def test_a_held_call_whose_connection_is_lost_waits_for_a_person(self):
        tasks_registry.clear()
        make_task(atomic=True, on_interruption="hold")

        outcome, _ = self.run_call(lose)

        self.assertEqual((outcome.state, outcome.replaced), ("INTERRUPTED", False))
        self.assertIn("held for a person to decide", outcome.error)

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only a file is busy")
    def test_a_busy_file_is_asked_again_until_the_call_can_begin(self):
        begin = SQLite.transaction
        busy = mock.Mock(side_effect=[OperationalError("database is locked")] * 2 + [None])

        @contextmanager
        def transaction(database, connection):
            busy()
            with begin(database, connection):
                yield

        with mock.patch.object(SQLite, "transaction", transaction):
            _, written = self.run_call(lambda: None)

        self.assertTrue(written)
        self.assertEqual(Effect.objects.count(), 1)

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="there is no line to a file")
    def test_a_failure_over_a_dead_connection_replaces_the_call(self):
        def lose():
            cut(connection.vendor, connection.connection)

        outcome, written = self.run_call(lose, "FAILED")

        self.assertEqual((outcome.state, outcome.replaced, written), ("INTERRUPTED", True, False))
        self.assertEqual(Effect.objects.count(), 0)

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="there is no line to a file")
    def test_a_timeout_that_broke_the_connection_is_a_failure(self):
        def lose():
            cut(connection.vendor, connection.connection)

        outcome, _ = self.run_call(lose, "FAILED", timed_out=True)

        self.assertEqual((outcome.state, outcome.replaced), ("FAILED", False))

    def test_a_commit_that_the_database_refuses_is_the_task_s_failure(self):
        def refuse():
            raise IntegrityError("deferred")

        outcome, written = self.run_call(refuse)

        self.assertEqual((outcome.state, written, Effect.objects.count()), ("FAILED", False, 0))
        self.assertIn("could not be committed: IntegrityError", outcome.error)

    @pytest.mark.skipif("connection.vendor == 'mysql'", reason="InnoDB defers no constraint")
    def test_a_deferred_constraint_fails_the_task_by_the_commit_and_keeps_its_output(self):
        def point_nowhere():
            TaskExec.objects.create(task_name="lost", replaced_by_id=10**9)

        outcome, written = self.run_call(point_nowhere, stdout="printed", stderr="warned")

        self.assertEqual((outcome.state, written, Effect.objects.count()), ("FAILED", False, 0))
        self.assertIn("could not be committed: IntegrityError", outcome.error)
        self.assertEqual((outcome.stdout, outcome.stderr), ("printed", "warned"))
        self.assertEqual(outcome.started, NOW)

    def test_a_commit_that_was_lost_on_its_way_replaces_the_call(self):
        outcome, written = self.run_and_lose(LOST_BEFORE)

        self.assertEqual((outcome.state, outcome.replaced, written), ("INTERRUPTED", True, False))
        self.assertEqual((Effect.objects.count(), reload(self.claimed).state), (0, "PROCESSING"))

    def test_a_commit_that_came_through_unanswered_counts(self):
        outcome, written = self.run_and_lose(LOST_AFTER)

        self.assertEqual((outcome.state, written), ("SUCCEEDED", True))
        self.assertEqual((Effect.objects.count(), reload(self.claimed).state), (1, "SUCCEEDED"))

    def run_and_lose(self, kind):
        self.addCleanup(connection.close)
        faults = Faults(connection, seed=0, share=0)
        with faults.installed(), faults.blowing():
            faults.commits = [(kind, 0)]
            return self.run_call(lambda: None)

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="one writes at a time on SQLite")
    def test_it_holds_the_write_lock_before_it_has_written(self):
        def run():
            Effect.objects.count()
            with other_session() as other, other.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 1")
                with self.assertRaisesRegex(OperationalError, "locked"):
                    cursor.execute("BEGIN IMMEDIATE")
            return Outcome("SUCCEEDED", NOW, NOW)

        _, written = task_execs.run_atomically(
            run, self.claimed, self.me.worker_id, lambda: NOW, self.failed
        )

        self.assertTrue(written)
