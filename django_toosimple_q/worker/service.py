"""What goes on beside the tasks, in threads: beat, look, and act for a busy main thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, connections

BUSY_SECONDS = 0.05


class Service:
    """A thread with connections of its own.

    Between two beats it sleeps; while the worker is `busy` it also looks every 50 ms whether
    something overstays.
    """

    def __init__(
        self,
        name: str,
        beat_seconds: float,
        beat: Callable[[], None],
        relieve: Callable[[], None] = lambda: None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = f"toosimpleq-{name}"
        self.beat_seconds = beat_seconds
        self.beat = beat
        self.relieve = relieve
        self.busy = busy
        self.stopping = False
        self.nudged = threading.Event()
        self.crash: BaseException | None = None
        # When the action began that the thread is in, by the monotonic clock.
        self.acting_since: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the thread while the block runs."""
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stopping = True
            self.nudged.set()
            thread.join(timeout=self.beat_seconds + 5)

    def nudge(self) -> None:
        """Tell that there is work in hand from now on."""
        self.nudged.set()

    def _run(self) -> None:
        next_beat = time.monotonic() + self.beat_seconds
        try:
            while not self.stopping:
                left = max(next_beat - time.monotonic(), 0)
                if self.busy():
                    # A nudge tells of work; while there is some, looks keep their distance.
                    time.sleep(min(left, BUSY_SECONDS))
                    self._guarded(self.relieve)
                else:
                    self.nudged.wait(left)
                self.nudged.clear()
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
        self.acting_since = time.monotonic()
        try:
            action()
        except (DatabaseError, InterfaceError):
            connections.close_all()
        finally:
            self.acting_since = None
