"""What becomes of a dead worker's rows by what its scoreboard shows."""

from django.test import TestCase

from django_toosimple_q.worker.processes.crash_recovery import recover_once
from django_toosimple_q.worker.processes.scoreboard import Snapshot
from tests.support import claim, isolate_registries, make_task, make_worker, reload

UNKNOWN = frozenset()


class CrashRecoveryTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        make_task().queue_many([(1,), (2,)])
        self.dead = make_worker()
        self.rows = claim(self.dead)

    def states_after(self, *, full):
        recover_once(Snapshot(*self.dead, UNKNOWN, UNKNOWN, full, exited=False), "exit code -9")
        return [reload(row).state for row in self.rows]

    def test_rows_that_had_not_begun_are_queued_again(self):
        self.assertEqual(self.states_after(full=False), ["QUEUED"] * 2)

    def test_on_a_full_scoreboard_each_row_may_have_begun(self):
        self.assertEqual(self.states_after(full=True), ["INTERRUPTED"] * 2)
