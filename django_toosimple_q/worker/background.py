"""A thread that acts beside the tasks: at a steady beat, and more often while tasks run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from django_toosimple_q.databases import own_connection
from django_toosimple_q.store.transaction import is_locked, queue_connection
from django_toosimple_q.wakeups import Hints
from django_toosimple_q.wakeups.pipe import WakeUp
from django_toosimple_q.worker.execution.request_state import forget_queries

# For how long no hint ends a pause after one: a thousand of them cost no more queries than that.
DEAF_SECONDS = 0.005
# The clock itself: a task may put one that stands still into the module `time`, and a worker that
# does not beat is taken for dead.
monotonic = time.monotonic


class BackgroundThread:
    """Calls `on_beat` every `beat_seconds`, with database connections of its own.

    While the worker is `busy` it also calls `on_busy_tick`, after `pause_seconds` each time, and
    `on_hint` when a hint ends that pause: what `listen` returns waits for it, on the thread's
    connection. Each tick holds up a task that computes, so a pause is as long as it can be.
    """

    def __init__(
        self,
        name: str,
        beat_seconds: float,
        on_beat: Callable[[], None],
        on_busy_tick: Callable[[], None] = lambda: None,
        busy: Callable[[], bool] = lambda: False,
        pause_seconds: Callable[[], float] = lambda: inf,
        listen: Callable[[WakeUp], Hints] = Hints,
        on_hint: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = f"toosimpleq-{name}"
        self.beat_seconds = beat_seconds
        self.on_beat = on_beat
        self.on_busy_tick = on_busy_tick
        self.busy = busy
        self.pause_seconds = pause_seconds
        self.listen = listen
        self.on_hint = on_hint
        self.stopping = False
        self.nudged = threading.Event()
        self.crash: BaseException | None = None
        # When the current action began, by the monotonic clock; None between two actions. One that
        # a lock keeps out is tried again and counts as the same.
        self.acting_since: float | None = None
        # The thread's own connection to the queue.
        self.connection: Any = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the thread while the block runs."""
        stop = WakeUp()
        thread = threading.Thread(target=self._run, args=(stop,), name=self.name, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stopping = True
            self.nudged.set()
            stop.set()
            thread.join(timeout=self.beat_seconds + 5)

    def nudge(self) -> None:
        """Announce that the worker is busy from now on."""
        self.nudged.set()

    def _run(self, stop: WakeUp) -> None:
        next_beat = monotonic() + self.beat_seconds
        self.connection = own_connection(queue_connection().alias)
        hints = self.listen(stop)
        try:
            while not self.stopping:
                left = max(next_beat - monotonic(), 0)
                if self.busy():
                    # A nudge says that there is work; busy ticks still keep their distance.
                    if hints.wait(min(left, self.pause_seconds())):
                        self._guarded(self.on_hint)
                        time.sleep(DEAF_SECONDS)
                    self._guarded(self.on_busy_tick)
                else:
                    self.nudged.wait(left)
                self.nudged.clear()
                if monotonic() >= next_beat:
                    next_beat = monotonic() + self.beat_seconds
                    self._guarded(self.on_beat)
        except BaseException as error:
            # The worker's own loop raises it: a worker that does not beat must not go on.
            self.crash = error
        finally:
            stop.close()
            connections.close_all()

    def _guarded(self, action: Callable[[], None]) -> None:
        """A database error ends this round only; the next one tries a new connection."""
        began = self.acting_since
        self.acting_since = began or time.monotonic()
        locked = False
        forget_queries()
        try:
            action()
        except (DatabaseError, InterfaceError) as error:
            locked = is_locked(error)
            connections.close_all()
        finally:
            if not locked:
                self.acting_since = None
