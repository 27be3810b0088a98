"""Cut off user code: at a task's timeout, or when the worker must go.

In the main thread a signal does it. Its handler runs between two bytecodes of the main thread, so
looking at `inside` and raising cannot be torn apart; outside user code it never raises, since an
exception between "row saved" and "variable cleared" would lose the row.
"""

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from django_toosimple_q.exceptions import TaskDidNotStop, TaskInterrupted, TaskTimeout
from django_toosimple_q.execution import Claimed

# What a task gets to leave once the worker has cut it off.
STOP_SECONDS = 1.0


class Slot:
    """Where one task at a time runs: the place in which it can be cut off."""

    def __init__(self) -> None:
        self.inside = False
        self.timeout: float | None = None
        self.began = 0.0
        self.task_ends: float | None = None
        self.stop_ends: float | None = None
        self.reason = ""
        self.cut_off = 0
        # Something was raised inside the task that runs, or ran last: it may have hit a query.
        self.struck = False
        # When its connections were last known to work, by the monotonic clock.
        self.fresh_at = time.monotonic()
        self.thread_id = threading.get_ident()
        # The thread's connection to the queue.
        self.connection: Any = None
        self.claimed: Claimed | None = None
        # The task that runs here was given up: the thread is of no use any more.
        self.lost = False

    def occupy(self, claimed: Claimed) -> None:
        """Take a row in, before its task runs."""
        self.claimed = claimed

    def vacate(self) -> None:
        """Let go of a row whose outcome is in hand."""
        self.claimed = None
        # Once more: what is raised on the way into __exit__ leaves it undone.
        self.forget_timeout()

    def user_code(self, timeout: float | None) -> Self:
        """Let the code in a `with` block be cut off, by its timeout (seconds) or by `interrupt`.

        The block enters the slot itself: a generator takes four times as long, at each task.
        """
        self.timeout = timeout
        return self

    def __enter__(self) -> None:
        self.struck = False
        self.began = time.monotonic()
        if self.timeout is not None:
            self.task_ends = self.began + self.timeout
            self.arm()
        self.inside = True
        if self.stop_ends is not None:
            try:
                self.raise_if_due()
            except BaseException:
                self.__exit__()
                raise

    def __exit__(self, *error: object) -> None:
        self.inside = False
        self.forget_timeout()

    def forget_timeout(self) -> None:
        """Let the timeout of a task that has ended cut off no other."""
        if self.task_ends is not None:
            self.task_ends = None
            self.arm()

    def interrupt(self, reason: str, after_seconds: float = 0) -> None:
        """Cut off what runs, and whatever starts later, after so many seconds."""
        ends = time.monotonic() + after_seconds
        self.stop_ends = ends if self.stop_ends is None else min(ends, self.stop_ends)
        self.reason = reason
        self.arm()

    def arm(self) -> None:
        """See to it that `raise_if_due` is called when the next deadline passes."""

    def raise_if_due(self) -> None:
        """Raise inside user code when a deadline has passed. Called in the slot's own thread."""
        now = time.monotonic()
        if not self.inside:
            return
        if self.stop_ends is not None and now >= self.stop_ends:
            self.inside, self.struck = False, True
            self.cut_off += 1
            raise TaskInterrupted(f"KeyboardInterrupt: {self.reason}")
        if self.task_ends is not None and now >= self.task_ends:
            self.inside, self.struck = False, True
            raise TaskTimeout(f"the task ran over its timeout of {self.task_ends - self.began:g} s")

    def stubborn(self, now: float, timeout_grace: float) -> BaseException | None:
        """Return what a task is to end with that was told to stop and has not, or None.

        `timeout_grace` is in seconds. Called beside the slot's thread, which may hang in C code
        and know nothing of its deadlines.
        """
        task_ends, stop_ends = self.task_ends, self.stop_ends
        if stop_ends is not None and now >= stop_ends + STOP_SECONDS:
            return TaskInterrupted(f"KeyboardInterrupt: {self.reason}; it did not stop")
        if task_ends is not None and now >= task_ends + timeout_grace:
            return TaskDidNotStop(
                f"the task ran over its timeout of {task_ends - self.began:g} s and did not stop "
                f"within {timeout_grace:g} s"
            )
        return None


class MainThreadSlot(Slot):
    """The slot of a worker that runs its tasks in the main thread, by SIGALRM."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGALRM while the worker runs; the handler before is put back."""
        before = signal.signal(signal.SIGALRM, self._on_alarm)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def arm(self) -> None:
        ends = [end for end in (self.task_ends, self.stop_ends) if end is not None]
        # A timer of 0 would switch it off.
        left = max(min(ends) - time.monotonic(), 1e-6) if ends else 0
        signal.setitimer(signal.ITIMER_REAL, left)

    def _on_alarm(self, signum: int, frame: Any) -> None:
        self.raise_if_due()
        if self.inside:
            self.arm()


class ThreadSlot(Slot):
    """The slot of a pool's thread: an exception set from another thread, at its next bytecode.

    It wakes no sleep and no socket: what does not yield goes on until the worker gives up on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.thrown = False

    def enter(self) -> None:
        """Take the calling thread as this slot's own."""
        self.thread_id = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        """End user code: nothing is thrown from here on, and what was thrown arrives now."""
        with self.lock:
            self.inside = False
            thrown, self.thrown = self.thrown, False
        try:
            # It may have arrived inside already; a loop gives what is pending its occasion.
            for _ in range(1000 if thrown else 0):
                pass
        finally:
            super().__exit__(*error)

    def look(self) -> None:
        """Raise in the slot's thread when a deadline has passed. Called beside it, now and then."""
        with self.lock:
            try:
                self.raise_if_due()
            except (TaskInterrupted, TaskTimeout) as error:
                self.thrown = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self.thread_id), ctypes.py_object(with_message(error))
                )


def with_message(error: BaseException) -> type[BaseException]:
    """Return a class whose instances say what `error` says: only a class can be thrown."""
    kind = type(error)
    body = {
        "__init__": lambda self: kind.__init__(self, *error.args),
        "__module__": kind.__module__,
    }
    return type(kind.__name__, (kind,), body)


def main_thread() -> bool:
    """Tell whether this thread may handle signals."""
    return threading.current_thread() is threading.main_thread()
