"""One wait that anything can end: a signal, a hint, a freed slot, or time."""

import os
import select
from contextlib import suppress


class WakeUp:
    """A pipe to oneself: setting it is safe in a signal handler and in any thread."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)

    def set(self) -> None:
        """End the wait that runs, or the next one."""
        # Full: the wait ends anyway. Closed: nobody waits.
        with suppress(OSError):
            os.write(self.write_end, b"!")

    def wait(self, seconds: float | None) -> bool:
        """Wait; return whether something ended it before the time was over."""
        ready, _, _ = select.select([self.read_end], [], [], seconds)
        if not ready:
            return False
        with suppress(BlockingIOError):
            while os.read(self.read_end, 4096):
                pass
        return True

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)
