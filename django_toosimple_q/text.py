"""Texts as every database stores them and every terminal shows them: bounded and harmless."""

import re
import traceback
from collections import deque
from datetime import timedelta
from unicodedata import category

KEPT_AT_EACH_END = 32 * 1024
# Control characters, formatting (a bidirectional override hides what follows), lone surrogates,
# and separators of lines and paragraphs.
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# No database stores a NUL, and no XML, such as that of `dumpdata`, any of these.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# Of a message in a log line; the row has the rest.
LONGEST_LINE = 300
TRACEBACK_LENGTH = 16 * 1024
FRAME = '  File "'
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


class BoundedText:
    """Keeps the first and the last 32 K characters of a text."""

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
        """Return the text that was kept, with a line that says how much was cut."""
        tail = "".join(self.tail)
        excess = max(len(tail) - self.kept, 0)
        cut = self.cut + excess
        middle = f"\n… {cut} characters cut …\n" if cut else ""
        return clean("".join(self.head) + middle + tail[excess:])


class Tail:
    """Keeps the last characters of a text. Another thread may read it meanwhile.

    `length` counts all that was written, `stored` how much of that the row has.
    """

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.parts: deque[str] = deque()
        self.size = self.length = self.stored = 0

    def write(self, text: str) -> None:
        part = text[-self.kept :]
        self.parts.append(part)
        self.size += len(part)
        while self.size - len(self.parts[0]) >= self.kept:
            self.size -= len(self.parts.popleft())
        self.length += len(text)

    def text(self) -> str:
        """Return what is kept."""
        return clean("".join(list(self.parts))[-self.kept :])


def clean(text: str) -> str:
    """Return a text that every database and XML can hold.

    Control characters other than tabs and ends of lines are escaped, and lone surrogates.
    """
    text = CONTROL.sub(lambda found: _escaped(found[0]), text)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut_middle(text: str, length: int) -> str:
    """Return a text of at most about `length` characters, with its middle cut out."""
    bounded = BoundedText(length // 2)
    bounded.write(text)
    return bounded.text()


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text with escapes for what a terminal obeys or hides; `lines` keeps line breaks."""
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        one if one in kept or category(one) not in HIDDEN else _escaped(one) for one in text
    )


def first_line(text: str) -> str:
    """Return the first line that is not blank, 300 characters of it at most."""
    stripped = text.strip()
    line = stripped.splitlines()[0].rstrip() if stripped else ""
    return shortened(line)


def last_line(text: str) -> str:
    """Return the last line that is not blank; one that was drawn anew counts as it is now."""
    lines = (line.strip() for line in reversed(re.split("[\r\n]", text)))
    return shortened(next(filter(None, lines), ""))


def shortened(text: str, length: int = LONGEST_LINE) -> str:
    """Return at most so many characters, ending in "…" when something was cut."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def short_traceback(error: BaseException) -> str:
    """Return the traceback of an error for a log: each message and each frame is cut.

    Raises what the error's own `__str__` raises.
    """
    parts = [part.removesuffix("\n") for part in traceback.format_exception(error)]
    # A frame has a path and a line of code.
    lengths = [3 * LONGEST_LINE if FRAME in part else LONGEST_LINE for part in parts]
    text = "\n".join(map(shortened, parts, lengths))
    return printable(cut_middle(text, TRACEBACK_LENGTH), lines=True)


def span(delta: timedelta, units: int = 2) -> str:
    """Return a duration in its largest units, or to the millisecond below ten seconds."""
    seconds = max(delta.total_seconds(), 0)
    if seconds < 10:
        return f"{round(seconds, 3):g} s"
    rest = int(seconds)
    counts = []
    for name, size in UNITS:
        count, rest = divmod(rest, size)
        counts.append((count, name))
    first = next(index for index, (count, _name) in enumerate(counts) if count)
    return " ".join(f"{count} {name}" for count, name in counts[first : first + units] if count)


def named(error: BaseException) -> str:
    """Return the type of an error and the first line of its message, as a traceback ends."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        line = first_line(str(error))
    except BaseException as broken:  # user code: __str__ of the error
        line = f"(no message: its __str__ raised {type(broken).__name__})"
    return f"{name}: {line}" if line else name


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
