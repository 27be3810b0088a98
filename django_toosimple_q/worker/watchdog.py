"""End a process in which no Python runs any more, before its rows may be rescued.

C code that keeps the interpreter's lock stops every thread of its process: nobody beats, and the
task goes on. Were its row rescued now, it would run twice. A worker on its own sets a timer that
needs no lock; one under a supervisor is watched by that, which also knows a pause from a hang.
"""

import faulthandler
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of the time after which a worker counts as dead.
SHARE = 0.75
STEPS = 9
# The pulse may have stopped right after a look: then it was missing for a whole step before.
ENOUGH = STEPS - 1


class Watchdog:
    """A timer, set again as long as Python runs, that prints all stacks and exits with 1.

    Only set while something is in hand: an idle worker that was paused does no harm.
    """

    def __init__(self, timeout: float, *, enabled: bool) -> None:
        self.seconds = timeout * SHARE
        self.enabled = enabled
        self.on_duty = False
        self.armed = False
        # Two threads set the timer, one of them unsets it.
        self.lock = threading.Lock()
        self.output = -1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch while the block runs; stacks go to what is standard error now."""
        if not self.enabled:
            yield
            return
        self.output = os.dup(2)
        self.on_duty = True
        try:
            yield
        finally:
            self.on_duty = False
            self.disarm()
            os.close(self.output)

    def arm(self) -> None:
        """Set the timer before anything is taken in hand."""
        if self.on_duty and not self.armed:
            with self.lock:
                self.armed = True
                self._set()

    def feed(self) -> None:
        """Set the timer again, if it is set."""
        with self.lock:
            if self.armed:
                self._set()

    def disarm(self) -> None:
        """Unset the timer once nothing is in hand."""
        with self.lock:
            if self.armed:
                self.armed = False
                faulthandler.cancel_dump_traceback_later()

    def _set(self) -> None:
        faulthandler.dump_traceback_later(self.seconds, exit=True, file=self.output)


class Watch:
    """A supervisor's look at one child: at its pulse, in steps that the supervisor makes itself.

    Steps and not the clock: when both were paused, or the whole machine, nobody hangs.
    """

    def __init__(self, pid: int, timeout: float, now: float) -> None:
        self.pid = pid
        self.step_seconds = timeout * SHARE / STEPS
        self.next_look = now + self.step_seconds
        self.pulse = 0
        self.missed = 0

    def look(self, pulse: int, now: float) -> bool:
        """Return whether no Python has run in the process for about the share of its timeout."""
        if now < self.next_look:
            return False
        self.next_look = now + self.step_seconds
        # Without a pulse, it does not work yet, or not any more.
        if not pulse or pulse != self.pulse or paused(self.pid):
            self.pulse, self.missed = pulse, 0
            return False
        self.missed += 1
        return self.missed >= ENOUGH

    def end(self) -> None:
        """End the process; at first in a way that lets it print its stacks."""
        os.kill(self.pid, signal.SIGABRT if self.missed == ENOUGH else signal.SIGKILL)


@contextmanager
def stacks_printed() -> Iterator[None]:
    """Let what kills this process, such as a segfault, first print where all threads are."""
    if faulthandler.is_enabled():
        yield
        return
    output = os.dup(2)
    faulthandler.enable(output)
    try:
        yield
    finally:
        faulthandler.disable()
        os.close(output)


def paused(pid: int) -> bool:
    """Tell whether a process was stopped by a signal or a debugger."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        command = ["ps", "-o", "state=", "-p", str(pid)]
        state = subprocess.run(command, capture_output=True, text=True, check=False).stdout[:1]
    return state in ("T", "t")
