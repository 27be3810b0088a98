"""Capture what a task prints: one proxy for each stream dispatches by context, bounded in size.

No stream is replaced for a single task, so the output of tasks in several threads stays separate.
The output of a task's child threads and of C code goes to the real stream.
"""

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from django_toosimple_q.text import BoundedText, Tail

# How much of what a task has printed last is shown while it runs, in characters.
TAIL_LENGTH = 4000


class Output:
    """The text that one run wrote to stdout and stderr, and the end of both together."""

    __slots__ = ("lock", "records", "streams", "tail")

    def __init__(self) -> None:
        # The threads that a coroutine uses print at once; a signal's handler may between two lines.
        self.lock = threading.RLock()
        self.streams: dict[str, BoundedText] = {}
        # Once it has written anything.
        self.tail: Tail | None = None
        # What it has logged, once that is anything: `LogRecords`.
        self.records: Any = None

    def write(self, stream: str, text: str) -> int:
        with self.lock:
            if stream not in self.streams:
                self.streams[stream] = BoundedText()
            if self.tail is None:
                self.tail = Tail(TAIL_LENGTH)
            self.tail.write(text)
            return self.streams[stream].write(text)

    def text(self, stream: str) -> str:
        written = self.streams.get(stream)
        return written.text() if written else ""


_current: ContextVar[Output | None] = ContextVar("toosimpleq_output", default=None)


def current() -> Output | None:
    """Return what is captured in this context, or None outside of a task."""
    return _current.get()


class Proxy(io.TextIOBase):
    """A replacement for sys.stdout or sys.stderr. Closing it does nothing."""

    def __init__(self, stream: str, real: TextIO) -> None:
        self.stream = stream
        self.real = real

    def write(self, text: str) -> int:
        output = _current.get()
        if output is None:
            return self.real.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        return output.write(self.stream, text)

    def flush(self) -> None:
        if _current.get() is None:
            self.real.flush()

    def close(self) -> None:
        pass

    def detach(self) -> Any:
        raise io.UnsupportedOperation("the output of a task cannot be detached")

    def fileno(self) -> int:
        return self.real.fileno()

    def isatty(self) -> bool:
        return _current.get() is None and self.real.isatty()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@contextmanager
def installed() -> Iterator[None]:
    """Install the proxies, once for each process, however many workers it runs."""
    if isinstance(sys.stdout, Proxy):
        yield
        return
    real = sys.stdout, sys.stderr
    proxies = Proxy("stdout", real[0]), Proxy("stderr", real[1])
    sys.stdout, sys.stderr = proxies
    try:
        yield
    finally:
        sys.stdout, sys.stderr = real


class captured:
    """Collect what this context prints, and restore streams that the code inside replaced."""

    __slots__ = ("streams", "token")

    def __enter__(self) -> Output:
        output = Output()
        self.streams = sys.stdout, sys.stderr
        self.token = _current.set(output)
        return output

    def __exit__(self, *error: object) -> None:
        _current.reset(self.token)
        if (sys.stdout, sys.stderr) != self.streams:
            sys.stdout, sys.stderr = self.streams
