"""One wait that anything can end: a signal, a hint, a freed slot, or time."""

import os
import select


class WakeUp:
    """A pipe to oneself: setting it is safe in a signal handler and in any thread."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)

    def set(self) -> None:
        """End the wait that runs, or the next one."""
        try:
            os.write(self.write_end, b"!")
        except (BlockingIOError, OSError):
            pass  # full: the wait ends anyway; closed: nobody waits

    def wait(self, seconds: float | None) -> bool:
        """Wait; return whether something ended it before the time was over."""
        ready, _, _ = select.select([self.read_end], [], [], seconds)
        if not ready:
            return False
        try:
            while os.read(self.read_end, 4096):
                pass
        except BlockingIOError:
            pass
        return True

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)
