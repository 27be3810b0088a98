"""Notice that C code blocks a worker's interpreter, by the pulse that it no longer shows.

A supervisor imports this to watch its children. A worker on its own runs it as a program, in a
process beside it that knows nothing of Django; so it needs the standard library only.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress

# The share of the time after which a worker counts as dead.
SHARE = 0.75
STEPS = 9
# The pulse may have stopped right after a check. It was then missing for a whole step already.
ENOUGH = STEPS - 1


class Watch:
    """A check of one process's pulse, in steps that the watching process counts itself.

    It counts steps instead of time, so that pausing both processes, or the whole machine, does not
    look like a hang.
    """

    def __init__(self, pid: int, timeout: float, now: float) -> None:
        self.pid = pid
        self.step_seconds = timeout * SHARE / STEPS
        self.next_check = now + self.step_seconds
        self.pulse = 0
        self.missed = 0

    def check(self, pulse: int, now: float) -> bool:
        """Return whether no Python code ran in the process for about `SHARE` of its timeout."""
        if now < self.next_check:
            return False
        self.next_check = now + self.step_seconds
        # A pulse of 0 means that the worker has not started, or has ended.
        if not pulse or pulse != self.pulse or paused(self.pid):
            self.pulse, self.missed = pulse, 0
            return False
        self.missed += 1
        return self.missed >= ENOUGH

    def end(self) -> None:
        """End the process, at first with a signal that lets it print its stacks."""
        os.kill(self.pid, signal.SIGABRT if self.missed == ENOUGH else signal.SIGKILL)


def paused(pid: int) -> bool:
    """Return whether a process was stopped by a signal or a debugger."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
    except OSError:
        # Not at the top: the program beside each worker would take more memory.
        import subprocess

        command = ["ps", "-o", "state=", "-p", str(pid)]
        state = subprocess.run(command, capture_output=True, text=True, check=False).stdout[:1]
    return state in ("T", "t")


def main(pid: int, timeout: float) -> None:
    """Watch a process that writes a byte to standard input for each beat, until it has ended."""
    watch = Watch(pid, timeout, time.monotonic())
    pulse = 0
    while os.getppid() == pid:
        left = max(watch.next_check - time.monotonic(), 0)
        if select.select([0], [], [], left)[0]:
            arrived = os.read(0, 4096)
            if not arrived:
                return
            pulse += len(arrived)
        if watch.check(pulse, time.monotonic()):
            os.write(2, f"worker process hangs in C code and is killed: pid={pid}\n".encode())
            with suppress(ProcessLookupError):
                watch.end()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
