"""SIGINT and SIGTERM: ask the worker to stop, then cut off what still runs."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django_toosimple_q.notify.wakeup import WakeUp
from django_toosimple_q.worker.deadline import MainThreadSlot, main_thread
from django_toosimple_q.worker.runner import Runner

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Handlers that only set flags, write a byte and arm a timer.

    SIGINT once lets running tasks finish; again, or SIGTERM after the grace, cuts them off.
    Python calls its handlers in the main thread, between two bytecodes: while that is in C code,
    `heed`, called beside it, acts on the bytes that the interpreter writes on arrival.
    """

    def __init__(self, grace_seconds: float, runner: Runner, wakeup: WakeUp) -> None:
        self.grace_seconds = grace_seconds
        self.runner = runner
        self.wakeup = wakeup
        self.requested = False
        self.reason = ""
        self.arrivals: int | None = None
        self.interrupts = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals inside the block; in a thread, where none arrive, do nothing."""
        if not main_thread():
            yield
            return
        with ExitStack() as stack:
            for number, handle in (
                (signal.SIGINT, self._on_interrupt),
                (signal.SIGTERM, self._on_terminate),
            ):
                stack.callback(signal.signal, number, signal.signal(number, handle))
            for slot in self.runner.slots:
                if isinstance(slot, MainThreadSlot):
                    stack.enter_context(slot.installed())
            stack.enter_context(self._arrivals_told())
            yield

    def request(self, reason: str) -> None:
        """Stop claiming; finish what runs."""
        self.requested = True
        self.reason = reason
        self.wakeup.set()

    def interrupt(self, reason: str, after_seconds: float = 0) -> None:
        """Stop claiming; cut off what still runs after so many seconds."""
        self.request(reason)
        self.runner.interrupt(reason, after_seconds)

    def wind_up(self, reason: str) -> None:
        """Stop claiming; what runs gets the grace."""
        self.interrupt(f"{reason}, {self.grace_seconds:g} s of grace", self.grace_seconds)

    def heed(self) -> None:
        """Do what the handlers do, where the main thread cannot; twice does no harm."""
        for number in self._arrived():
            if number == signal.SIGTERM:
                self._on_terminate(number, None)
            elif number == signal.SIGINT:
                self.interrupts += 1
                if self.interrupts > 1:
                    self.interrupt("a second SIGINT")

    def _on_interrupt(self, number: int, frame: Any) -> None:
        if self.requested:
            self.interrupt("a second SIGINT")
        else:
            self.request("SIGINT")

    def _on_terminate(self, number: int, frame: Any) -> None:
        self.wind_up("SIGTERM")

    @contextmanager
    def _arrivals_told(self) -> Iterator[None]:
        """Let the interpreter write each signal's number into a pipe when it arrives."""
        arrivals, tell = os.pipe()
        os.set_blocking(arrivals, False)
        os.set_blocking(tell, False)
        before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        self.arrivals = arrivals
        _installed.append(self)
        try:
            yield
        finally:
            _installed.remove(self)
            self.arrivals = None
            signal.set_wakeup_fd(before)
            os.close(arrivals)
            os.close(tell)

    def _arrived(self) -> bytes:
        """Return the numbers of signals that arrived since the last look."""
        # Nothing new, or the worker has ended.
        with suppress(OSError):
            if self.arrivals is not None:
                return os.read(self.arrivals, 4096)
        return b""


_installed: list[StopSignals] = []
_masks = threading.local()


def _hold_signals() -> None:
    """Keep signals back while a task forks, so that none meets a child with our handlers."""
    if _installed:
        _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _let_signals_through() -> None:
    before = _masks.__dict__.pop("before", None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _disown_signals() -> None:
    """In a forked process signals are that process's own: they end it, as by default.

    It shares the pipe, so the worker would take a SIGTERM to the child for one to itself.
    """
    if _installed:
        signal.set_wakeup_fd(-1)
        for number in STOPPING:
            signal.signal(number, signal.SIG_DFL)
        _installed.clear()
    _let_signals_through()


os.register_at_fork(
    before=_hold_signals,
    after_in_parent=_let_signals_through,
    after_in_child=_disown_signals,
)
