"""What becomes of a dead worker's rows by what its board tells."""

from django.test import TestCase

from django_toosimple_q.worker.board import Legacy
from django_toosimple_q.worker.settling import settle_once
from tests.support import claim, isolate_registries, make_task, make_worker, reload

UNKNOWN = frozenset()


class SettlingTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        make_task().queue_many([(1,), (2,)])
        self.dead = make_worker()
        self.rows = claim(self.dead)

    def states_after(self, *, full):
        settle_once(Legacy(*self.dead, UNKNOWN, UNKNOWN, full, orderly=False), "exit code -9")
        return [reload(row).state for row in self.rows]

    def test_rows_that_had_not_begun_are_queued_again(self):
        self.assertEqual(self.states_after(full=False), ["QUEUED"] * 2)

    def test_on_a_full_board_each_row_may_have_begun(self):
        self.assertEqual(self.states_after(full=True), ["INTERRUPTED"] * 2)
