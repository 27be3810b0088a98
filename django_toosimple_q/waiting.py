"""Wait for calls to end: told by whoever ends them where the database or Redis can push."""

import asyncio
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import partial

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections

from django_toosimple_q import notify
from django_toosimple_q.exceptions import ResultGone
from django_toosimple_q.execution import current_task_exec
from django_toosimple_q.models import TaskExec
from django_toosimple_q.notify.wakeup import WakeUp
from django_toosimple_q.store.step import queue_connection, queue_family
from django_toosimple_q.store.task_execs import watch

logger = logging.getLogger("toosimpleq")

# Without a push: first often, then less and less.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.25
# With one: a hint may be lost with its connection, and some ends (a dead worker's) send none.
LOOK_AFTER_SECONDS = 1.0
LISTEN_SECONDS = 5.0


def wait_done(pk: int, timeout: float | None = None) -> TaskExec | None:
    """Wait for a call to end; see `TaskExec.wait_done`."""
    warn_of_what_hides()
    watched = Watched(pk, timeout)
    told = threading.Event()
    with watched.hearing(told.set):
        while (row := watched.look()) is None and (seconds := watched.seconds_to_wait()) > 0:
            told.wait(seconds)
            told.clear()
    return row


async def await_done(pk: int, timeout: float | None = None) -> TaskExec | None:
    """Wait for a call to end, keeping no thread; see `TaskExec.wait_done`."""
    await sync_to_async(warn_of_what_hides)()
    watched = Watched(pk, timeout)
    told = asyncio.Event()
    tell = partial(asyncio.get_running_loop().call_soon_threadsafe, told.set)
    with watched.hearing(tell):
        look = sync_to_async(watched.look)
        while (row := await look()) is None and (seconds := watched.seconds_to_wait()) > 0:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(told.wait(), seconds)
            told.clear()
    return row


def warn_of_what_hides() -> None:
    """Warn where the end may never be seen."""
    if queue_connection().in_atomic_block:
        warnings.warn(
            "waiting for a task inside a transaction: a call that was queued in it is hidden from "
            "the workers until it commits. Wait after the atomic block.",
            RuntimeWarning,
            stacklevel=4,
        )
    elif current_task_exec() is not None:
        warnings.warn(
            "waiting for a task inside a task: it keeps a place in the worker that the other may "
            "need. Queue what follows from the other task, or use a queue with workers of its own.",
            RuntimeWarning,
            stacklevel=4,
        )


class Watched:
    """A call that somebody waits for, through its retries and replacements."""

    def __init__(self, pk: int, timeout: float | None) -> None:
        self.pk = pk
        self.ends = None if timeout is None else time.monotonic() + timeout
        # In a transaction, asking to be told would lock the row whose worker is to write it.
        self.pushed = notify.pushes(queue_family()) and not queue_connection().in_atomic_block
        self.announced = 0
        self.nap = SHORTEST_SECONDS

    def look(self) -> TaskExec | None:
        """Return the last attempt if it has ended. Raises `ResultGone` when the row is deleted."""
        while True:
            if self.pushed and self.announced != self.pk:
                # Before the look: who ends it after the look tells.
                watch.await_end(self.pk)
                self.announced = self.pk
            row = watch.look_at(self.pk)
            if row is None:
                raise ResultGone(
                    f"task {self.pk} has no row (any more). Let TOOSIMPLEQ_RETENTION keep the rows "
                    "that are waited for."
                )
            if row.replaced_by_id is None:
                return row if watch.has_ended(row) else None
            self.pk = row.replaced_by_id

    def seconds_to_wait(self) -> float:
        """Return how long to wait before the next look; 0 when the time is over."""
        self.nap = LOOK_AFTER_SECONDS if self.pushed else min(self.nap * 2, LONGEST_SECONDS)
        left = self.nap if self.ends is None else self.ends - time.monotonic()
        return max(0.0, min(self.nap, left))

    def hearing(self, tell: Callable[[], object]) -> AbstractContextManager[None]:
        """Have `tell` called when something may have ended, where that can be heard."""
        return ears.hearing(tell) if self.pushed else nullcontext()


class Ears:
    """Listens for the ends of calls: one thread for all who wait in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: list[Callable[[], object]] = []
        self.wakeup: WakeUp | None = None

    @contextmanager
    def hearing(self, call: Callable[[], object]) -> Iterator[None]:
        """Have `call` called whenever some call has ended, as long as the block runs."""
        with self.lock:
            self.calls.append(call)
            if self.wakeup is None:
                self.wakeup = WakeUp()
                run = partial(self._run, self.wakeup)
                threading.Thread(target=run, name="toosimpleq-ears", daemon=True).start()
        try:
            yield
        finally:
            with self.lock:
                self.calls.remove(call)
                if not self.calls and self.wakeup is not None:
                    self.wakeup.set()

    def _run(self, wakeup: WakeUp) -> None:
        try:
            with closing(
                notify.listen(wakeup, queue_connection().alias, queue_family(), notify.DONE)
            ) as hints:
                while self._tell():
                    hints.wait(LISTEN_SECONDS)
        except DatabaseError as error:
            logger.warning("cannot listen for the ends of tasks, polling instead: %s", error)
        finally:
            with self.lock:
                if self.wakeup is wakeup:
                    self.wakeup = None
            wakeup.close()
            connections.close_all()

    def _tell(self) -> bool:
        """Tell all who wait; return whether there are any."""
        with self.lock:
            for call in self.calls:
                call()
            if not self.calls:
                # Who comes now starts another thread.
                self.wakeup = None
            return bool(self.calls)


ears = Ears()
# A forked process has the listener's connection, and not its thread.
os.register_at_fork(after_in_child=ears.__init__)  # type: ignore[misc]
