"""One wait that anything can end: a signal, a hint, a freed slot, or time."""

import os
import select
import selectors
import socket
import time
from contextlib import suppress
from typing import Any, Protocol

# Windows has no `poll` and waits for sockets only, there without a bound on their numbers.
HAS_POLL = hasattr(select, "poll")
# `poll` counts milliseconds in a C int, which ends after 24 days.
LONGEST_SECONDS = 86400.0
# A signal does not end a wait of Windows: its handler runs between two of these.
SLICE_SECONDS = 0.5


# The clock itself: a task may put one that stands still into the module `time`.
monotonic = time.monotonic


class Readable:
    """Waits until one of some files can be read. `select` refuses those with numbers above 1023."""

    def __init__(self, *files: Any, poll: bool = HAS_POLL) -> None:
        self.selector: Any = selectors.PollSelector() if poll else selectors.SelectSelector()
        self.longest = LONGEST_SECONDS if poll else SLICE_SECONDS
        for file in files:
            self.selector.register(file, selectors.EVENT_READ)

    def wait(self, seconds: float | None) -> list[int]:
        """Return the numbers of those that can be read, or have broken, by then."""
        ends = None if seconds is None else monotonic() + seconds
        while True:
            left = self.longest if ends is None else max(ends - monotonic(), 0)
            ready = self.selector.select(min(left, self.longest))
            if ready or left == 0:
                return [key.fd for key, _ in ready]


class Pipe(Protocol):
    """A pipe to oneself. Neither end blocks: raises OSError when it is full, empty or closed."""

    read_end: int
    write_end: int

    def write(self) -> None: ...

    def read(self) -> bytes: ...

    def close(self) -> None: ...


class FilePipe:
    """A pipe as the operating system has it."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)

    def write(self) -> None:
        os.write(self.write_end, b"!")

    def read(self) -> bytes:
        return os.read(self.read_end, 4096)

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


class SocketPipe:
    """The same made of sockets, where nothing else can be waited for."""

    def __init__(self) -> None:
        self.receiver, self.sender = socket.socketpair()
        self.receiver.setblocking(False)
        self.sender.setblocking(False)
        self.read_end, self.write_end = self.receiver.fileno(), self.sender.fileno()

    def write(self) -> None:
        self.sender.send(b"!")

    def read(self) -> bytes:
        return self.receiver.recv(4096)

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()


def new_pipe() -> Pipe:
    """Return a pipe whose read end `Readable` can wait for."""
    return FilePipe() if HAS_POLL else SocketPipe()


class WakeUp:
    """A pipe to oneself: setting it is safe in a signal handler and in any thread."""

    def __init__(self) -> None:
        self.pipe = new_pipe()
        self.read_end = self.pipe.read_end
        self.readable = Readable(self.read_end)

    def set(self) -> None:
        """End the wait that runs, or the next one."""
        # Full: the wait ends anyway. Closed: nobody waits.
        with suppress(OSError):
            self.pipe.write()

    def wait(self, seconds: float | None) -> bool:
        """Wait; return whether something ended it before the time was over."""
        if not self.readable.wait(seconds):
            return False
        with suppress(BlockingIOError):
            while self.pipe.read():
                pass
        return True

    def close(self) -> None:
        self.pipe.close()
