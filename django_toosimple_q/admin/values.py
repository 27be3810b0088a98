"""Write values as Python code on several lines, without running any code of theirs, and bounded.

What is left out is counted. A value of a class that Python itself does not have is a stand-in, or
is named by its class.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.utils.translation import gettext as _

from django_toosimple_q.arguments import BRACKETS, WRITTEN
from django_toosimple_q.references import Reference
from django_toosimple_q.stand_ins import StandIn
from django_toosimple_q.text import printable, shortened

WIDTH = 92
INDENT = 4
# Of each container so many items, of each text so many characters, so many levels, and about so
# many characters in all.
ITEMS, CHARACTERS, LEVELS, ROOM = 100, 2000, 8, 20_000
# A key is written anew for each dict that it is in, so fewer levels of it.
KEY_LEVELS = 3
ATOMS = {**WRITTEN, **dict.fromkeys((Decimal, UUID), repr)}
# What Django pickles of a row besides its columns.
OF_ROWS = frozenset({"_state", "_django_version"})


class Call(NamedTuple):
    """A call: the name of a task, and its arguments."""

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


class Placeholder(NamedTuple):
    """What stands for a value that is not known yet."""

    text: Any


class Pairs(NamedTuple):
    """The keys and values that a stand-in was given, whether or not its keys have a hash."""

    pairs: Sequence[tuple[Any, Any]]


class Parts(NamedTuple):
    """What a container is written as: its items, each with the text before it."""

    opening: str
    items: Iterable[tuple[str, Any]]
    length: int
    closing: str


def written(value: Any) -> str:
    """Return a value as Python code; a long one has a line for each item."""
    writer = Writer()
    writer.write(value, "", "", 0, 0)
    return "\n".join(writer.lines)


class Writer:
    """Writes one value into `lines`, as far as there is `room` for its characters."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.room = ROOM

    def write(self, value: Any, before: str, after: str, indent: int, level: int) -> None:
        """Write a value with what stands before and after it, on one line if that is wide enough.

        One that does not fit is opened: each of its items takes a line, or several.
        """
        short = on_one_line(value, WIDTH - indent - len(before) - len(after), level)
        parts = None if short is not None else parts_of(value, level)
        if parts is None or level >= LEVELS:
            text = short if short is not None else self.cut(value, level)
            self.line(indent, f"{before}{text}{after}")
            return
        self.line(indent, f"{before}{parts.opening}")
        for number, (label, item) in enumerate(parts.items):
            if number == ITEMS or self.room <= 0:
                left = _("… and %(count)s more") % {"count": f"{parts.length - number:,}"}
                self.line(indent + INDENT, left)
                break
            self.write(item, label, ",", indent + INDENT, level + 1)
        self.line(indent, f"{parts.closing}{after}")

    def line(self, indent: int, text: str) -> None:
        """Add a line."""
        self.lines.append(f"{' ' * indent}{text}")
        self.room -= len(text) + 1

    def cut(self, value: Any, level: int) -> str:
        """Return the beginning of a value that does not fit on a line, and how much is left out."""
        if type(value) not in (str, bytes):
            return "".join(pieces(value, level))
        most = max(min(CHARACTERS, self.room), WIDTH)
        left = len(value) - most
        if left <= 0:
            return repr(value)
        shown = repr(value[:most])
        more = _("%(count)s more characters") if type(value) is str else _("%(count)s more bytes")
        return f"{shown[:-1]}…{shown[-1]} … {more % {'count': f'{left:,}'}}"


def on_one_line(value: Any, room: int, level: int = 0) -> str | None:
    """Return a value on one line, or None if it takes more than so many characters."""
    taken = []
    for piece in pieces(value, level):
        taken.append(piece)
        room -= len(piece)
        if room < 0:
            return None
    return "".join(taken)


def pieces(value: Any, level: int) -> Iterator[str]:
    """Yield a value on one line, piece by piece; of a text at most a little more than a line."""
    if type(value) in (str, bytes):
        yield repr(value[: WIDTH + 1])
        return
    parts = parts_of(value, level)
    if parts is None:
        yield atom(value)
        return
    yield parts.opening
    if level >= LEVELS:
        yield "…" if parts.length else ""
    else:
        for number, (label, item) in enumerate(parts.items):
            yield ", " if number else ""
            yield label
            yield from pieces(item, level + 1)
        # A tuple of one.
        yield "," if parts.length == 1 and type(value) is tuple else ""
    yield parts.closing


def parts_of(value: Any, level: int) -> Parts | None:
    """Return how a container is opened, or None for a value that is none."""
    kind = type(value)
    if kind is Call:
        count = len(value.args) + len(value.kwargs)
        items = chain(unnamed(value.args), named(value.kwargs.items()))
        return Parts(f"{value.name}(", items, count, ")")
    if issubclass(kind, StandIn):
        return parts_of_stand_in(value)
    if kind is Pairs:
        return Parts("{", keyed(value.pairs, level), len(value.pairs), "}")
    if kind not in BRACKETS:
        return None
    opening, closing = BRACKETS[kind]
    if kind is dict:
        return Parts(opening, keyed(value.items(), level), len(value), closing)
    if not value and kind in (set, frozenset):
        return Parts(f"{kind.__name__}(", (), 0, ")")
    return Parts(opening, unnamed(value), len(value), closing)


def parts_of_stand_in(value: StandIn) -> Parts:
    """Return how a stand-in is opened: as the call that made it, and what it was given since."""
    attributes = [(name, one) for name, one in value.named.items() if name not in OF_ROWS]
    held: list[tuple[str, Any]] = [("*", value.items)] if value.items else []
    held += [("**", Pairs(value.pairs))] if value.pairs else []
    items = chain(unnamed(value.args), named(attributes), held)
    count = len(value.args) + len(attributes) + len(held)
    return Parts(f"{label(value.path)}(", items, count, ")")


def unnamed(values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield values with nothing before them."""
    return (("", one) for one in values)


def named(pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield arguments or attributes with their names before them."""
    return ((f"{label(name)}=", one) for name, one in pairs)


def keyed(pairs: Iterable[tuple[Any, Any]], level: int) -> Iterator[tuple[str, Any]]:
    """Yield the values of a dict of this level with their keys before them."""
    of_key = max(level + 1, LEVELS - KEY_LEVELS)
    return ((f"{brief(key, of_key)}: ", one) for key, one in pairs)


def label(name: Any) -> str:
    """Return a name as it is shown."""
    return printable(shortened(str(name), WIDTH))


def brief(value: Any, level: int = 0) -> str:
    """Return a value on one line, or "…" if it is too long for that."""
    text = on_one_line(value, WIDTH, level)
    return "…" if text is None else text


def atom(value: Any) -> str:
    """Return a value without items as Python code."""
    kind = type(value)
    if kind is Placeholder:
        return str(value.text)
    if kind is Reference:
        return f"<{value.app_label}.{value.model_name} {brief(value.pk)}>"
    if kind is type and issubclass(value, StandIn):
        return label(value.path)
    # A Decimal may have any number of digits.
    return shortened(ATOMS[kind](value), CHARACTERS) if kind in ATOMS else f"<{kind.__name__}>"
