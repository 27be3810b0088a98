"""One wait that anything can end: a signal, a hint, a freed slot, or time."""

import os
import select
from contextlib import suppress
from typing import Any

# `poll` counts milliseconds in a C int, which ends after 24 days. Who waits longer looks again.
LONGEST_SECONDS = 86400.0


class Readable:
    """Waits until one of some files can be read. `select` refuses those with numbers above 1023."""

    def __init__(self, *files: Any) -> None:
        self.poll = select.poll()
        for file in files:
            self.poll.register(file, select.POLLIN)

    def wait(self, seconds: float | None) -> list[int]:
        """Return the numbers of those that can be read, or have broken, by then."""
        if seconds is not None:
            seconds = min(max(seconds, 0), LONGEST_SECONDS) * 1000
        return [number for number, _ in self.poll.poll(seconds)]


class WakeUp:
    """A pipe to oneself: setting it is safe in a signal handler and in any thread."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)
        self.readable = Readable(self.read_end)

    def set(self) -> None:
        """End the wait that runs, or the next one."""
        # Full: the wait ends anyway. Closed: nobody waits.
        with suppress(OSError):
            os.write(self.write_end, b"!")

    def wait(self, seconds: float | None) -> bool:
        """Wait; return whether something ended it before the time was over."""
        if not self.readable.wait(seconds):
            return False
        with suppress(BlockingIOError):
            while os.read(self.read_end, 4096):
                pass
        return True

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)
