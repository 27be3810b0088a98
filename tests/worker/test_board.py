import os
from unittest import TestCase

from django_toosimple_q.worker.board import CELLS, Board, Legacy

INCARNATION = "00ff" * 8


class BoardTests(TestCase):
    def test_what_a_process_noted_is_read_after_its_end(self):
        board = Board()
        pid = os.fork()
        if pid == 0:
            board.enter(7, INCARNATION)
            for pk in (1, 2, 3):
                board.begin(pk)
            board.end(2)
            board.clear([3])
            os._exit(0)
        os.waitpid(pid, 0)

        self.assertEqual(
            board.legacy(),
            Legacy(7, INCARNATION, frozenset([1]), frozenset([2]), full=False, orderly=False),
        )

    def test_an_orderly_end_is_told(self):
        board = Board()
        board.enter(7, INCARNATION)
        board.leave()

        self.assertTrue(board.legacy().orderly)
        board.wipe()
        self.assertEqual(board.legacy().worker_id, 0)
        self.assertFalse(board.legacy().orderly)

    def test_more_rows_than_it_holds_are_told_to_be_missing(self):
        board = Board()
        for pk in range(1, CELLS + 2):
            board.begin(pk)

        legacy = board.legacy()

        self.assertEqual((len(legacy.running), legacy.full), (CELLS, True))
        board.clear(range(1, CELLS + 2))
        self.assertEqual(board.legacy().running, frozenset())
