"""What goes on beside the tasks: beat, look after the others, and act for a busy main thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, connections

BUSY_SECONDS = 0.05


class Service:
    """A thread with connections of its own.

    Between two beats it sleeps; while the main thread is busy it also looks every 50 ms whether
    that overstays.
    """

    def __init__(
        self, beat_seconds: float, beat: Callable[[], None], relieve: Callable[[], None]
    ) -> None:
        self.beat_seconds = beat_seconds
        self.beat = beat
        self.relieve = relieve
        self.busy = threading.Event()
        self.stopping = threading.Event()
        self.nudged = threading.Event()
        self.crash: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the thread while the block runs."""
        thread = threading.Thread(target=self._run, name="toosimpleq-service", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            self.nudged.set()
            thread.join(timeout=self.beat_seconds + 5)

    def work_began(self) -> None:
        """Tell that the main thread runs tasks from now on."""
        if not self.busy.is_set():
            self.busy.set()
            self.nudged.set()

    def work_ended(self) -> None:
        """Tell that the main thread is back."""
        self.busy.clear()

    def _run(self) -> None:
        next_beat = time.monotonic() + self.beat_seconds
        try:
            while not self.stopping.is_set():
                left = next_beat - time.monotonic()
                self.nudged.wait(min(left, BUSY_SECONDS) if self.busy.is_set() else max(left, 0))
                self.nudged.clear()
                if self.busy.is_set():
                    self._guarded(self.relieve)
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + self.beat_seconds
                    self._guarded(self.beat)
        except BaseException as error:
            # The worker's own loop ends with it: a worker that does not beat must not go on.
            self.crash = error
        finally:
            connections.close_all()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Database trouble ends this round only; the next one tries again on a new connection."""
        try:
            action()
        except (DatabaseError, InterfaceError):
            connections.close_all()
