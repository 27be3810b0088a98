import pytest
from django.db import IntegrityError, OperationalError, connection
from django.test import TransactionTestCase

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import task_execs, workers
from tests.app.models import Effect
from tests.faults.wrapper import cut
from tests.support import NOW, claim, isolate_registries, make_task, make_worker, reload


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

        return task_execs.run_atomically(run, self.claimed, self.me.worker_id, lambda: NOW)

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
        def lose():
            raise OperationalError("server closed the connection")

        outcome, written = self.run_call(lose)

        self.assertEqual((outcome.state, outcome.replaced, written), ("INTERRUPTED", True, False))
        self.assertEqual(Effect.objects.count(), 0)

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
