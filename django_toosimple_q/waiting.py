"""Wait for calls to end: woken by hints where the database or Redis can push, else by polling."""

import asyncio
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import partial

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections

from django_toosimple_q import signals, wakeups
from django_toosimple_q.exceptions import ResultGone
from django_toosimple_q.execution import current_task
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import lookup
from django_toosimple_q.store.transaction import (
    in_callers_transaction,
    is_uncommitted,
    queue_connection,
    queue_database,
)
from django_toosimple_q.wakeups.pipe import WakeUp

# Without hints: often at first, then less and less.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.25
# With hints: one may be lost with its connection, and some ends (a dead worker's) send none.
POLL_ANYWAY_SECONDS = 1.0
LISTEN_SECONDS = 5.0


def wait_done(pk: int, timeout: float | None = None) -> TaskExec | None:
    """Wait for a call to end; see `TaskExec.wait_done`."""
    warn_if_hidden()
    watched = Watched(pk, timeout)
    woken = threading.Event()
    with watched.listening(woken.set):
        while (row := watched.poll()) is None and (seconds := watched.seconds_to_wait()) > 0:
            woken.wait(seconds)
            woken.clear()
    return row


async def await_done(pk: int, timeout: float | None = None) -> TaskExec | None:
    """Wait for a call to end, without keeping a thread; see `TaskExec.wait_done`."""
    await sync_to_async(warn_if_hidden)()
    watched = Watched(pk, timeout)
    woken = asyncio.Event()
    wake = partial(asyncio.get_running_loop().call_soon_threadsafe, woken.set)
    with watched.listening(wake):
        poll = sync_to_async(watched.poll)
        while (row := await poll()) is None and (seconds := watched.seconds_to_wait()) > 0:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(woken.wait(), seconds)
            woken.clear()
    return row


def warn_if_hidden() -> None:
    """Warn where the end of the call may never be seen."""
    if is_uncommitted():
        warnings.warn(
            "waiting for a task inside a transaction: a call that was queued in it is hidden from "
            "the workers until it commits. Wait after the atomic block, or with autocommit off "
            "after connection.commit().",
            RuntimeWarning,
            stacklevel=4,
        )
    elif current_task() is not None:
        warnings.warn(
            "waiting for a task inside a task: it occupies the worker that the other task may "
            "need. Queue what comes next from the other task, or use a queue with its own workers.",
            RuntimeWarning,
            stacklevel=4,
        )


class Watched:
    """A call that a caller waits for, through its retries and replacements."""

    def __init__(self, pk: int, timeout: float | None) -> None:
        self.pk = pk
        self.ends = None if timeout is None else time.monotonic() + timeout
        # In a transaction, marking the row as awaited would lock it against its worker.
        self.pushed = wakeups.pushes(queue_database()) and not in_callers_transaction()
        self.marked = 0
        self.nap = SHORTEST_SECONDS

    def poll(self) -> TaskExec | None:
        """Return the last attempt if it has ended. Raises `ResultGone` when the row is deleted."""
        seen: set[int] = set()
        # Somebody may have written ids by hand that lead back.
        while self.pk not in seen:
            seen.add(self.pk)
            if self.pushed and self.marked != self.pk:
                # Before the row is read, so that an end after that is announced.
                lookup.mark_awaited(self.pk)
                self.marked = self.pk
            row = lookup.find(self.pk)
            if row is None:
                raise ResultGone(
                    f"task {self.pk} has no row, or it was deleted. Let TOOSIMPLEQ_RETENTION keep "
                    "the rows that are waited for."
                )
            if row.replaced_by_id is None:
                return row if lookup.has_ended(row) else None
            self.pk = row.replaced_by_id
        return None

    def seconds_to_wait(self) -> float:
        """Return how long to wait before the next poll; 0 when the time is over."""
        self.nap = POLL_ANYWAY_SECONDS if self.pushed else min(self.nap * 2, LONGEST_SECONDS)
        left = self.nap if self.ends is None else self.ends - time.monotonic()
        return max(0.0, min(self.nap, left))

    def listening(self, wake: Callable[[], object]) -> AbstractContextManager[None]:
        """Have `wake` called when a call may have ended, where hints can be heard."""
        return listener.listening(wake) if self.pushed else nullcontext()


class Listener:
    """Listens for the ends of calls: one thread for all who wait in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: list[Callable[[], object]] = []
        self.wakeup: WakeUp | None = None

    @contextmanager
    def listening(self, call: Callable[[], object]) -> Iterator[None]:
        """Have `call` called whenever a call has ended, as long as the block runs."""
        with self.lock:
            self.calls.append(call)
            if self.wakeup is None:
                self.wakeup = WakeUp()
                run = partial(self._run, self.wakeup)
                threading.Thread(target=run, name="toosimpleq-listener", daemon=True).start()
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
                wakeups.listen(wakeup, queue_database(), queue_connection().alias, wakeups.DONE)
            ) as hints:
                while self._wake_all():
                    hints.wait(LISTEN_SECONDS)
        except DatabaseError as error:
            signals.listening_failed.send_robust(sender="wait_done", error=error)
        finally:
            with self.lock:
                if self.wakeup is wakeup:
                    self.wakeup = None
            wakeup.close()
            connections.close_all()

    def _wake_all(self) -> bool:
        """Wake all who wait; return whether there are any."""
        with self.lock:
            for call in self.calls:
                call()
            if not self.calls:
                # The next caller starts another thread.
                self.wakeup = None
            return bool(self.calls)


listener = Listener()
if hasattr(os, "register_at_fork"):
    # A forked process has the listener's connection, but not its thread.
    os.register_at_fork(after_in_child=listener.__init__)  # type: ignore[misc]
