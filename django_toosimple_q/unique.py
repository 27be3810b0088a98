"""What makes two calls the same call: a hash of a canonical form of their arguments.

Pickles cannot serve: sets, dict order and interned strings differ between processes. Here types
are kept (1, 1.0 and True are three values), dicts and sets are sorted, and what has no canonical
form is refused by name.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.db.models import Model

from django_toosimple_q.exceptions import InvalidArguments

PLAIN_TYPES = (
    *(str, bytes, int, float, complex, type(None)),
    *(UUID, Decimal, date, time, timedelta, PurePath),
)


def unique_hash(task_name: str, arguments: Mapping[str, Any]) -> str:
    """Return 64 hexadecimal characters that stand for this task called with these arguments.

    `arguments` are bound to the task's signature, by parameter name. Raises `InvalidArguments`
    for a value without a canonical form.
    """
    parts = [repr(task_name)]
    for name in sorted(arguments):
        try:
            parts.append(f"{name}={canonical(arguments[name])}")
        except TypeError as error:
            raise InvalidArguments(
                f"unique task {task_name!r} cannot compare its argument {name!r}: {error}. "
                "Pass plain values such as ids, or give the task unique_by=."
            ) from error
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any) -> str:
    """Return a text that two values share exactly when they are equal and of one type.

    Raises TypeError for a value of a type that has no such text.
    """
    if isinstance(value, Model):
        return f"{value._meta.label}({value._state.db!r}, {value.pk!r})"
    kind = type(value).__qualname__
    if isinstance(value, Enum):
        return f"{kind}.{value.name}"
    if isinstance(value, datetime):
        return f"{kind}({_instant(value)})"
    if isinstance(value, PLAIN_TYPES):
        return f"{kind}({value!r})"
    if isinstance(value, Mapping):
        pairs = sorted((canonical(key), canonical(item)) for key, item in value.items())
        return f"{kind}({', '.join(f'{key}: {item}' for key, item in pairs)})"
    if isinstance(value, list | tuple):
        return f"{kind}({', '.join(map(canonical, value))})"
    if isinstance(value, set | frozenset):
        return f"{kind}({', '.join(sorted(map(canonical, value)))})"
    if is_dataclass(value) and not isinstance(value, type):
        items = (f"{field.name}={canonical(getattr(value, field.name))}" for field in fields(value))
        return f"{kind}({', '.join(items)})"
    raise TypeError(f"a {type(value).__module__}.{kind} has no canonical form")


def _instant(value: datetime) -> str:
    """Return one text for one instant, whatever zone an aware datetime names it in."""
    return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
