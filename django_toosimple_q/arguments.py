"""Write the arguments of a call as a short text, without running any code of theirs.

The text is stored with the call: lists show it and search it, and open no payload.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import Model

from django_toosimple_q.masking import Mask
from django_toosimple_q.text import printable, shortened

LENGTH = 255
# Of each container so many items, and so many levels. The rest would not be read.
ITEMS, LEVELS = 40, 3
LARGEST_BITS = 600


def arguments_preview(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the beginning of some arguments, as `1, 'mail', urgent=True`; at most 255 characters.

    Values of other types than Python's own are named by their class: `<Order 5>` for a row of a
    model, `<Money>` for anything else.
    """
    if not args and not kwargs:
        return ""
    # Each call that is queued pays for this, so most values take one look-up and one call.
    parts = [
        WRITTEN[type(value)](value) if type(value) in WRITTEN else _written(value, 0)
        for value in args[:ITEMS]
    ]
    if kwargs:
        parts += [f"{name}={_written(value, 0)}" for name, value in islice(kwargs.items(), ITEMS)]
    return shortened(printable(", ".join(parts)), LENGTH)


def _joined(parts: Iterable[str]) -> str:
    """Return parts with commas between them, as many as the text has room for."""
    taken, length = [], 0
    for part in parts:
        taken.append(part)
        length += len(part) + 2
        if length > LENGTH:
            break
    return ", ".join(taken)


def _written(value: Any, level: int) -> str:
    write = WRITTEN.get(type(value))
    if write is not None:
        return write(value)
    kind = type(value)
    if kind in BRACKETS:
        opening, closing = BRACKETS[kind]
        return f"{opening}{_items(value, level)}{closing}"
    name = kind.__name__
    if isinstance(value, Model):
        # Not `pk`, which may read the row.
        pk = value.__dict__.get(value._meta.pk.attname)
        return f"<{name} {_written(pk, LEVELS)}>"
    return f"<{name}>"


def _items(value: Any, level: int) -> str:
    if level >= LEVELS:
        return "…" if value else ""
    items = islice(value.items() if type(value) is dict else value, ITEMS)
    if type(value) is dict:
        pairs = (f"{_written(key, level + 1)}: {_written(one, level + 1)}" for key, one in items)
        return _joined(pairs)
    return _joined(_written(one, level + 1) for one in items)


def _whole(value: int) -> str:
    bits = value.bit_length()
    return repr(value) if bits <= LARGEST_BITS else f"<int of {bits} bits>"


def _cut(value: Any) -> str:
    return repr(value[:LENGTH])


def _moment(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # user code: a time zone of its own
        return f"<{type(value).__name__}>"


BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
}
WRITTEN: dict[type, Callable[[Any], str]] = {
    str: _cut,
    bytes: _cut,
    int: _whole,
    **dict.fromkeys((bool, float, type(None), Mask), repr),
    **dict.fromkeys((date, datetime, time, timedelta, UUID), _moment),
    Decimal: str,
}
