"""What a worker shows to the process that watches it: a pulse, and the rows that it has begun.

The memory is shared with the supervisor and outlives the worker, however that ends. So who sees a
worker die knows which of its rows ran, which had ended, and that all others had not begun.
"""

import mmap
from collections.abc import Iterable
from typing import NamedTuple

CELLS = 1024
PULSE, WORKER, INCARNATION, LEFT, FULL, FIRST = 0, 1, 2, 4, 5, 6
# The row has ended and what came of it is not in the database yet.
ENDED = 1 << 63


class Legacy(NamedTuple):
    """What a worker left: the ids of rows that ran and of rows whose outcome was not stored.

    With `full`, some rows that had begun are missing from both. With `orderly`, the worker had
    written how it ended.
    """

    worker_id: int
    incarnation: str
    running: frozenset[int]
    ended: frozenset[int]
    full: bool
    orderly: bool


class Board:
    """A few pages that a worker writes and its supervisor reads; a cell is written at once."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8 * (FIRST + CELLS))
        self.cells = memoryview(self.memory).cast("Q")
        self.free = list(range(FIRST, FIRST + CELLS))
        self.places: dict[int, int] = {}

    def beat(self) -> None:
        """Show that this process runs Python."""
        self.cells[PULSE] = (self.cells[PULSE] + 1) % ENDED

    def rest(self) -> None:
        """Show that no beat is to be expected any more."""
        self.cells[PULSE] = 0

    def enter(self, worker_id: int, incarnation: str) -> None:
        """Show as whom the worker is registered; `incarnation` is 32 hexadecimal digits."""
        self.cells[INCARNATION] = int(incarnation[:16], 16)
        self.cells[INCARNATION + 1] = int(incarnation[16:], 16)
        self.cells[WORKER] = worker_id

    def leave(self) -> None:
        """Show that the worker has written how it ended."""
        self.cells[LEFT] = 1

    def begin(self, pk: int) -> None:
        """Show that a row runs from now on."""
        if not self.free:
            self.cells[FULL] = 1
            return
        place = self.places[pk] = self.free.pop()
        self.cells[place] = pk

    def end(self, pk: int) -> None:
        """Show that a row has ended."""
        place = self.places.get(pk)
        if place is not None:
            self.cells[place] = pk | ENDED

    def clear(self, pks: Iterable[int]) -> None:
        """Take down rows whose end is in the database."""
        for pk in pks:
            place = self.places.pop(pk, None)
            if place is not None:
                self.cells[place] = 0
                self.free.append(place)

    @property
    def pulse(self) -> int:
        """Return a number that changes as long as the process runs Python; 0 before and after."""
        return self.cells[PULSE]

    def legacy(self) -> Legacy:
        """Return what a worker left that has ended."""
        begun = [cell for cell in self.cells[FIRST:] if cell]
        return Legacy(
            self.cells[WORKER],
            f"{self.cells[INCARNATION]:016x}{self.cells[INCARNATION + 1]:016x}",
            frozenset(cell for cell in begun if cell < ENDED),
            frozenset(cell - ENDED for cell in begun if cell >= ENDED),
            bool(self.cells[FULL]),
            bool(self.cells[LEFT]),
        )

    def wipe(self) -> None:
        """Make ready for the next worker."""
        self.memory.seek(0)
        self.memory.write(bytes(len(self.memory)))
