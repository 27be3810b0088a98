"""Interrupt user code: at a task's timeout, or when the worker must stop.

In the main thread a signal interrupts it. The handler runs between two bytecodes of the main
thread, so nothing can run between its check of `inside` and its exception. Outside user code it
never raises, since an exception between "row saved" and "variable cleared" would lose the row.
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
from django_toosimple_q.worker.platform import CAN_ALARM

# How long a task may continue after the worker has interrupted it.
STOP_SECONDS = 1.0


class Slot:
    """The place where one task at a time runs and can be interrupted."""

    def __init__(self) -> None:
        self.inside = False
        self.timeout: float | None = None
        self.began = 0.0
        self.task_ends: float | None = None
        self.stop_ends: float | None = None
        self.reason = ""
        self.interrupted = 0
        # Whether the current or last task was interrupted. That may have happened in a query.
        self.struck = False
        # When its connections last worked, by the monotonic clock.
        self.fresh_at = time.monotonic()
        self.thread_id = threading.get_ident()
        # The thread's connection to the queue.
        self.connection: Any = None
        self.claimed: Claimed | None = None
        # Whether its task was abandoned, so that the thread can run no other.
        self.abandoned = False

    def occupy(self, claimed: Claimed) -> None:
        """Record the row whose task is about to run."""
        self.claimed = claimed

    def vacate(self) -> None:
        """Forget the row after its outcome is known."""
        self.claimed = None
        # An exception on the way into __exit__ may have skipped this there.
        self.forget_timeout()

    def user_code(self, timeout: float | None) -> Self:
        """Allow interrupting the code in a `with` block, by `timeout` seconds or `interrupt`.

        The slot itself is the context manager, since a generator takes four times as long for
        each task.
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
        """Cancel the timeout of a task that has ended, so that it cannot interrupt the next."""
        if self.task_ends is not None:
            self.task_ends = None
            self.arm()

    def interrupt(self, reason: str, after_seconds: float = 0) -> None:
        """Interrupt the running task, and any that starts later, after this many seconds."""
        ends = time.monotonic() + after_seconds
        self.stop_ends = ends if self.stop_ends is None else min(ends, self.stop_ends)
        self.reason = reason
        self.arm()

    def resume(self, reason: str) -> None:
        """Cut nothing off any more for this reason. Another one, such as a stop, stays."""
        if self.reason == reason:
            self.stop_ends, self.reason, self.interrupted = None, "", 0
            self.arm()

    def arm(self) -> None:
        """Arrange that `raise_if_due` is called when the next deadline passes."""

    def raise_if_due(self) -> None:
        """Raise inside user code if a deadline has passed. Called in the slot's own thread."""
        now = time.monotonic()
        if not self.inside:
            return
        if self.stop_ends is not None and now >= self.stop_ends:
            self.inside, self.struck = False, True
            self.interrupted += 1
            raise TaskInterrupted.cut_off(f"KeyboardInterrupt: {self.reason}")
        if self.task_ends is not None and now >= self.task_ends:
            self.inside, self.struck = False, True
            raise TaskTimeout(f"the task exceeded its timeout of {self.task_ends - self.began:g} s")

    def overdue(self, now: float, timeout_grace: float) -> BaseException | None:
        """Return the error of a task that should have stopped but still runs, or None.

        `timeout_grace` is in seconds. Another thread calls it, since the slot's own thread may hang
        in C code.
        """
        task_ends, stop_ends = self.task_ends, self.stop_ends
        if stop_ends is not None and now >= stop_ends + STOP_SECONDS:
            return TaskInterrupted.cut_off(f"KeyboardInterrupt: {self.reason}; it did not stop")
        if task_ends is not None and now >= task_ends + timeout_grace:
            return TaskDidNotStop(
                f"the task exceeded its timeout of {task_ends - self.began:g} s and did not stop "
                f"within {timeout_grace:g} s"
            )
        return None


class MainThreadSlot(Slot):
    """The slot of a worker that runs its tasks in the main thread. It interrupts by SIGALRM."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGALRM while the worker runs, and restore the previous handler afterwards."""
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


def slot_of_this_thread() -> Slot:
    """Return the slot of a worker that runs its tasks in the calling thread."""
    return MainThreadSlot() if CAN_ALARM and main_thread() else Slot()


class ThreadSlot(Slot):
    """The slot of a thread in a pool. Another thread sets an exception, raised at a bytecode.

    The exception does not end a sleep or a socket call. A task that blocks there continues until
    the worker abandons it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.thrown = False

    def enter(self) -> None:
        """Make the calling thread the slot's own."""
        self.thread_id = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        """End user code. Let a pending exception arrive, and allow no further one."""
        with self.lock:
            self.inside = False
            thrown, self.thrown = self.thrown, False
        try:
            # It may have arrived inside the block already. A pending one arrives in the loop.
            for _ in range(1000 if thrown else 0):
                pass
        finally:
            super().__exit__(*error)

    def check(self) -> None:
        """Raise in the slot's thread if a deadline has passed. Called by another thread."""
        with self.lock:
            try:
                self.raise_if_due()
            except (TaskInterrupted, TaskTimeout) as error:
                self.thrown = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self.thread_id), ctypes.py_object(with_message(error))
                )


def with_message(error: BaseException) -> type[BaseException]:
    """Return a class whose instances are like `error`. Only a class can be set."""
    kind = type(error)
    body = {
        "__init__": lambda self: kind.__init__(self, *error.args),
        "__module__": kind.__module__,
        **error.__dict__,
    }
    return type(kind.__name__, (kind,), body)


def main_thread() -> bool:
    """Return whether this thread may handle signals."""
    return threading.current_thread() is threading.main_thread()
