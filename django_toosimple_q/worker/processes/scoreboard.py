"""What a worker shows to its supervisor: a pulse, and the rows that it has begun.

The memory is shared and outlives the worker. When a worker dies, its supervisor can see which rows
were running, which had ended, and that the rest never started.
"""

import mmap
from collections.abc import Iterable
from typing import NamedTuple

CELLS = 1024
PULSE, WORKER, INCARNATION, EXITED, FULL, FIRST = 0, 1, 2, 4, 5, 6
# The row has ended and its outcome is not in the database yet.
ENDED = 1 << 63


class Snapshot(NamedTuple):
    """The last state of a worker: which rows ran, and which ended without a stored outcome.

    With `full`, some rows that had begun are missing from both. With `exited`, the worker had
    recorded how it ended.
    """

    worker_id: int
    incarnation: str
    running: frozenset[int]
    ended: frozenset[int]
    full: bool
    exited: bool


class Scoreboard:
    """A few pages that a worker writes and its supervisor reads; a cell is written at once."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8 * (FIRST + CELLS))
        self.cells = memoryview(self.memory).cast("Q")
        self.free = list(range(FIRST, FIRST + CELLS))
        self.cell_of: dict[int, int] = {}

    def beat(self) -> None:
        """Show that this process runs Python."""
        self.cells[PULSE] = (self.cells[PULSE] + 1) % ENDED

    def rest(self) -> None:
        """Show that no further beat is to be expected."""
        self.cells[PULSE] = 0

    def register(self, worker_id: int, incarnation: str) -> None:
        """Show which worker this is; `incarnation` is 32 hexadecimal digits."""
        self.cells[INCARNATION] = int(incarnation[:16], 16)
        self.cells[INCARNATION + 1] = int(incarnation[16:], 16)
        self.cells[WORKER] = worker_id

    def mark_exited(self) -> None:
        """Show that the worker has recorded how it ended."""
        self.cells[EXITED] = 1

    def begin(self, pk: int) -> None:
        """Show that a row runs from now on."""
        if not self.free:
            self.cells[FULL] = 1
            return
        cell = self.cell_of[pk] = self.free.pop()
        self.cells[cell] = pk

    def end(self, pk: int) -> None:
        """Show that a row has ended."""
        cell = self.cell_of.get(pk)
        if cell is not None:
            self.cells[cell] = pk | ENDED

    def clear(self, pks: Iterable[int]) -> None:
        """Remove rows whose end is in the database."""
        for pk in pks:
            cell = self.cell_of.pop(pk, None)
            if cell is not None:
                self.cells[cell] = 0
                self.free.append(cell)

    @property
    def pulse(self) -> int:
        """Return a number that changes as long as the process runs Python; 0 before and after."""
        return self.cells[PULSE]

    def snapshot(self) -> Snapshot:
        """Return the last state of a worker that has ended."""
        begun = [cell for cell in self.cells[FIRST:] if cell]
        return Snapshot(
            self.cells[WORKER],
            f"{self.cells[INCARNATION]:016x}{self.cells[INCARNATION + 1]:016x}",
            frozenset(cell for cell in begun if cell < ENDED),
            frozenset(cell - ENDED for cell in begun if cell >= ENDED),
            bool(self.cells[FULL]),
            bool(self.cells[EXITED]),
        )

    def wipe(self) -> None:
        """Clear it for the next worker."""
        self.memory.seek(0)
        self.memory.write(bytes(len(self.memory)))
