"""SIGINT, SIGTERM and their like: ask the worker to stop, then interrupt what still runs."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.wakeups.pipe import Pipe, WakeUp, new_pipe
from django_toosimple_q.worker.execution.deadline import MainThreadSlot, main_thread
from django_toosimple_q.worker.execution.runner import Runner
from django_toosimple_q.worker.platform import CAN_FORK, TERMINATING

# What asks for a stop with grace. By default each of them ends a process at once.
GRACEFUL = (
    *TERMINATING,
    *(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)),
)
# What asks for a stop without grace.
AT_ONCE = tuple(getattr(signal, name) for name in ("SIGQUIT",) if hasattr(signal, name))
STOPPING = (signal.SIGINT, *GRACEFUL, *AT_ONCE)
ALWAYS_OURS = (signal.SIGINT, *TERMINATING)
CAUGHT = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)
CHECK_SECONDS = 0.1
STOPPED = int(WorkerStatus.ExitCodes.STOPPED)


def ours() -> list[int]:
    """Return the signals to handle: not those that the project handles or ignores, as nohup does.

    A handler in C, such as that of `faulthandler.register`, is only seen where there is /proc.
    """
    try:
        found = CAUGHT.search(Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found is None:
        default = {signal.SIGHUP} if hasattr(signal, "SIGHUP") else set()
    else:
        caught = int(found[1], 16)
        default = {number for number in STOPPING if not caught >> (number - 1) & 1}
    free = [
        number
        for number in STOPPING
        if number in default and signal.getsignal(number) is signal.SIG_DFL
    ]
    return sorted({*ALWAYS_OURS, *free})


class Shutdown:
    """Handlers that only set flags, write a byte and arm a timer.

    One SIGINT lets running tasks finish. A second one, or SIGTERM after the grace, interrupts them.
    Other signals that would end the process stop it like SIGTERM; SIGQUIT gives no grace.
    Python calls its handlers in the main thread, between two bytecodes: while that is in C code,
    `apply_pending`, called by another thread, reads the bytes that the interpreter wrote.
    """

    def __init__(self, grace_seconds: float, runner: Runner, wakeup: WakeUp) -> None:
        self.grace_seconds = grace_seconds
        self.runner = runner
        self.wakeup = wakeup
        self.requested = False
        self.reason = ""
        self.arrivals: Pipe | None = None
        self.interrupts = 0
        self.taken: list[int] = []
        # SIGINTs that came to us, and those that a parent passed on.
        self.own, self.passed_on = 0, 0
        self.counting = threading.RLock()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals inside the block; in a thread, where none arrive, do nothing."""
        if not main_thread():
            yield
            return
        with ExitStack() as stack:
            self.taken = ours()
            for number in self.taken:
                stack.callback(signal.signal, number, signal.signal(number, self._on_signal))
            for slot in self.runner.slots:
                if isinstance(slot, MainThreadSlot):
                    stack.enter_context(slot.installed())
            stack.enter_context(self._arrivals_written())
            if CAN_FORK:
                # A supervisor keeps them back until they are handled here.
                before = signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
                stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
            yield

    def request(self, reason: str) -> None:
        """Stop claiming; finish what runs."""
        self.requested = True
        self.reason = reason
        self.wakeup.set()

    def interrupt(self, reason: str, after_seconds: float = 0) -> None:
        """Stop claiming; interrupt what still runs after so many seconds."""
        self.request(reason)
        self.runner.interrupt(reason, after_seconds)

    def request_with_grace(self, reason: str) -> None:
        """Stop claiming; interrupt what still runs after the grace."""
        self.interrupt(f"{reason}, {self.grace_seconds:g} s of grace", self.grace_seconds)

    def apply_pending(self) -> None:
        """Do what the handlers do, where the main thread cannot; doing it twice does no harm."""
        for number in self._arrived():
            if number in GRACEFUL or number in AT_ONCE:
                self._on_signal(number, None)
            elif number == signal.SIGINT:
                self.interrupts += 1
                if self.interrupts > 1:
                    self.interrupt("a second SIGINT")

    def pass_on_interrupt(self) -> None:
        """Take in a SIGINT that came to the parent; from a terminal it came to us as well."""
        with self.counting:
            self.passed_on += 1
            if self.passed_on > self.own:
                self._on_interrupt()

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """End the process when a stop is asked for and the block does not end within the grace.

        A database that takes a connection and never answers keeps the main thread, and in C code
        no handler runs. Nothing is in flight meanwhile.
        """
        done = threading.Event()

        def watch() -> None:
            ends = None
            while not done.wait(CHECK_SECONDS):
                if ends is None and (self._arrived() or self.requested):
                    ends = time.monotonic() + self.grace_seconds
                if ends is not None and time.monotonic() >= ends:
                    os._exit(STOPPED)

        thread = threading.Thread(target=watch, name="toosimpleq-start", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _on_signal(self, number: int, frame: Any) -> None:
        if number in GRACEFUL:
            self.request_with_grace(signal.Signals(number).name)
        elif number in AT_ONCE:
            self.interrupt(signal.Signals(number).name)
        else:
            with self.counting:
                self.own += 1
                if self.own > self.passed_on:
                    self._on_interrupt()

    def _on_interrupt(self) -> None:
        if self.requested:
            self.interrupt("a second SIGINT")
        else:
            self.request("SIGINT")

    @contextmanager
    def _arrivals_written(self) -> Iterator[None]:
        """Let the interpreter write each signal's number into a pipe when it arrives."""
        arrivals = self.arrivals = new_pipe()
        before = signal.set_wakeup_fd(arrivals.write_end, warn_on_full_buffer=False)
        _installed.append(self)
        try:
            yield
        finally:
            _installed.remove(self)
            self.arrivals = None
            signal.set_wakeup_fd(before)
            arrivals.close()

    def _arrived(self) -> bytes:
        """Return the numbers of signals that arrived since the last look."""
        # Nothing new, or the worker has ended.
        with suppress(OSError):
            if self.arrivals is not None:
                return self.arrivals.read()
        return b""


_installed: list[Shutdown] = []
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
        for number in {number for one in _installed for number in one.taken}:
            signal.signal(number, signal.SIG_DFL)
        _installed.clear()
    _let_signals_through()


if CAN_FORK:
    os.register_at_fork(
        before=_hold_signals,
        after_in_parent=_let_signals_through,
        after_in_child=_disown_signals,
    )
