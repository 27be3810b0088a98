"""SIGINT and SIGTERM: ask the worker to stop, then cut off what still runs."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django_toosimple_q.notify.wakeup import WakeUp
from django_toosimple_q.worker.deadline import MainThreadSlot, main_thread
from django_toosimple_q.worker.runner import Runner


class StopSignals:
    """Handlers that only set flags, write a byte and arm a timer.

    SIGINT once lets running tasks finish; again, or SIGTERM after the grace, cuts them off.
    """

    def __init__(self, grace_seconds: float, runner: Runner, wakeup: WakeUp) -> None:
        self.grace_seconds = grace_seconds
        self.runner = runner
        self.wakeup = wakeup
        self.requested = False
        self.reason = ""

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

    def _on_interrupt(self, number: int, frame: Any) -> None:
        if self.requested:
            self.interrupt("a second SIGINT")
        else:
            self.request("SIGINT")

    def _on_terminate(self, number: int, frame: Any) -> None:
        self.interrupt(f"SIGTERM, {self.grace_seconds:g} s of grace", self.grace_seconds)
