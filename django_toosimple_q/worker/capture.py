"""What a task prints: one proxy for each stream, dispatching by context, bounded in size.

Nothing is redirected while a task runs, so tasks in several threads keep apart. What child
threads of a task and C code write goes to the real stream.
"""

import io
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

KEPT_AT_EACH_END = 32 * 1024


class BoundedText:
    """Keeps the first and the last 32 K characters of what is written."""

    def __init__(self, kept: int = KEPT_AT_EACH_END) -> None:
        self.kept = kept
        self.head: list[str] = []
        self.head_length = 0
        self.tail: deque[str] = deque()
        self.tail_length = 0
        self.cut = 0

    def write(self, text: str) -> int:
        room = self.kept - self.head_length
        if room > 0:
            first = text[:room]
            self.head.append(first)
            self.head_length += len(first)
        if len(text) > room:
            self._append(text[max(room, 0) :])
        return len(text)

    def _append(self, text: str) -> None:
        self.tail.append(text)
        self.tail_length += len(text)
        while self.tail_length - len(self.tail[0]) >= self.kept:
            dropped = len(self.tail.popleft())
            self.cut += dropped
            self.tail_length -= dropped

    def text(self) -> str:
        """Return what was kept, with a line that says how much was cut."""
        tail = "".join(self.tail)
        excess = max(len(tail) - self.kept, 0)
        cut = self.cut + excess
        middle = f"\n… {cut} characters cut …\n" if cut else ""
        return clean("".join(self.head) + middle + tail[excess:])


class Output:
    """What one run wrote to stdout and stderr."""

    __slots__ = ("streams",)

    def __init__(self) -> None:
        self.streams: dict[str, BoundedText] = {}

    def write(self, stream: str, text: str) -> int:
        if stream not in self.streams:
            self.streams[stream] = BoundedText()
        return self.streams[stream].write(text)

    def text(self, stream: str) -> str:
        written = self.streams.get(stream)
        return written.text() if written else ""


_current: ContextVar[Output | None] = ContextVar("toosimpleq_output", default=None)


class Proxy(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr; closing or detaching it does nothing."""

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
    """Put the proxies in place; once for each process, however many workers it runs."""
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
    """Collect what this context prints; streams that the code inside replaced are put back."""

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


def clean(text: str) -> str:
    """Return a text that every database stores: NUL and lone surrogates written as escapes."""
    if text.isascii() and "\x00" not in text:
        return text
    text = text.replace("\x00", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut_middle(text: str, length: int) -> str:
    """Return a text of at most about `length` characters, its middle cut out."""
    bounded = BoundedText(length // 2)
    bounded.write(text)
    return bounded.text()
