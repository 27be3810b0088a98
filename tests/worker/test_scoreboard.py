import os
from unittest import TestCase

from django_toosimple_q.worker.processes.scoreboard import CELLS, Scoreboard, Snapshot

INCARNATION = "00ff" * 8


class ScoreboardTests(TestCase):
    def test_what_a_process_noted_is_read_after_its_end(self):
        scoreboard = Scoreboard()
        pid = os.fork()
        if pid == 0:
            scoreboard.register(7, INCARNATION)
            for pk in (1, 2, 3):
                scoreboard.begin(pk)
            scoreboard.end(2)
            scoreboard.clear([3])
            os._exit(0)
        os.waitpid(pid, 0)

        self.assertEqual(
            scoreboard.snapshot(),
            Snapshot(7, INCARNATION, frozenset([1]), frozenset([2]), full=False, exited=False),
        )

    def test_a_recorded_end_is_shown(self):
        scoreboard = Scoreboard()
        scoreboard.register(7, INCARNATION)
        scoreboard.mark_exited()

        self.assertTrue(scoreboard.snapshot().exited)
        scoreboard.wipe()
        self.assertEqual(scoreboard.snapshot().worker_id, 0)
        self.assertFalse(scoreboard.snapshot().exited)

    def test_it_shows_that_rows_are_missing_when_it_is_full(self):
        scoreboard = Scoreboard()
        for pk in range(1, CELLS + 2):
            scoreboard.begin(pk)

        snapshot = scoreboard.snapshot()

        self.assertEqual((len(snapshot.running), snapshot.full), (CELLS, True))
        scoreboard.clear(range(1, CELLS + 2))
        self.assertEqual(scoreboard.snapshot().running, frozenset())
