"""What makes two calls the same call: a hash of a canonical form of their arguments.

Pickles cannot serve: sets, dict order and interned strings differ between processes. Here types
are kept (1, 1.0 and True are three values), dicts and sets are sorted, and what has no canonical
form for sure is refused by name: two calls that differ are never taken for one.
"""

import copyreg
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.utils.functional import Promise

from django_toosimple_q.exceptions import InvalidArguments, NoReference, kind_of, said
from django_toosimple_q.references import reference_to

# Their repr says all that there is to them.
PLAIN_TYPES = frozenset(
    {
        *(str, bytes, bool, float, complex, type(None), UUID, Decimal, date, time, timedelta),
        *(PosixPath, PurePosixPath, PureWindowsPath, WindowsPath),
    }
)
# An instance of a class derived from these is stored as the moment alone, whatever it carries.
MOMENTS = frozenset({datetime, date})
# What a class may be derived from, and how the content of an instance is read past its own methods.
CONTENTS: dict[type, Any] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes.__bytes__,
    datetime: lambda value: _instant(value),
    date: date.toordinal,
    list: lambda value: list.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    dict: lambda value: dict(dict.items(value)),
}


def unique_hash(task_name: str, arguments: Mapping[str, Any], *, sensitive: bool = False) -> str:
    """Return 64 hexadecimal characters that stand for this task called with these arguments.

    `arguments` are bound to the task's signature, by parameter name. Raises `InvalidArguments`
    for a value without a canonical form; it quotes no error of a `sensitive` value's own code.
    """
    parts = [repr(task_name)]
    for name in sorted(arguments):
        try:
            parts.append(f"{name}={canonical(arguments[name])}")
        except RecursionError as error:
            raise _refused(
                task_name, name, "it is nested too deeply, or contains itself"
            ) from error
        except Exception as error:  # user code: how a value is reduced and what it is shown as
            if isinstance(error, NoForm):
                reason = str(error)
            else:
                reason = kind_of(error) if sensitive else said(error)
            raise _refused(task_name, name, reason) from (None if sensitive else error)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class NoForm(TypeError):
    """A value that has no canonical form."""


def canonical(value: Any) -> str:
    """Return a text that two values share exactly when they are equal and of one type.

    Raises `NoForm` for a value that has no such text for sure, and what the value's own code does.
    """
    kind = type(value)
    if kind in PLAIN_TYPES:
        return f"{kind.__qualname__}({value!r})"
    if kind is int:
        # Python refuses to write integers of thousands of digits in tens.
        return f"int({value:#x})"
    if kind is datetime:
        return f"datetime({_instant(value)})"
    if kind is list or kind is tuple:
        return f"{kind.__qualname__}({', '.join(map(canonical, value))})"
    if kind is set or kind is frozenset:
        return f"{kind.__qualname__}({', '.join(sorted(map(canonical, value)))})"
    if kind is dict:
        return f"dict({', '.join(sorted(_pairs(value)))})"
    if kind is OrderedDict:
        _refuse_attributes(value)
        return f"OrderedDict({', '.join(_pairs(value))})"
    return _other(value)


def _other(value: Any) -> str:
    if isinstance(value, Promise):
        # What it says now, in the language of now.
        return canonical(str(value))
    if isinstance(value, Model):
        return _model(value)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, Enum):
        # A combination of flags has no name of its own.
        return f"{name}.{value._name_}={canonical(value._value_)}"
    for base, content in CONTENTS.items():
        if isinstance(value, base):
            if base not in MOMENTS:
                _refuse_attributes(value)
            return f"{name}({canonical(content(value))})"
    if is_dataclass(value) and not isinstance(value, type):
        names = [one.name for one in fields(value)]
        if set(getattr(value, "__dict__", ())) - set(names):
            raise NoForm(f"a {name} has attributes beside its fields")
        items = (f"{one}={canonical(getattr(value, one))}" for one in names)
        return f"{name}({', '.join(items)})"
    raise NoForm(f"a {name} has no canonical form")


def _model(value: Model) -> str:
    try:
        return f"row({', '.join(map(canonical, reference_to(value)))})"
    except NoReference as error:
        raise NoForm(str(error)) from error


def _refuse_attributes(value: Any) -> None:
    """Raise `NoForm` for an instance of a derived class that is more than its content."""
    reduced = value.__reduce_ex__(2)
    # OrderedDict reduces to its class and its items.
    made = reduced[0] is copyreg.__newobj__ or type(value) is OrderedDict  # type: ignore[attr-defined]
    if not made or (len(reduced) > 2 and reduced[2]):
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        raise NoForm(f"a {name} has more to it than what it contains")


def _pairs(value: Mapping[Any, Any]) -> list[str]:
    return [f"{canonical(key)}: {canonical(item)}" for key, item in value.items()]


def _instant(value: datetime) -> str:
    """Return one text for one instant, whatever zone an aware datetime names it in."""
    if value.tzinfo:
        return value.astimezone(UTC).isoformat()
    # Of an hour that the clock shows twice, which one it is.
    return f"{value.isoformat()}, fold={value.fold}"


def _refused(task_name: str, argument: str, reason: str) -> InvalidArguments:
    return InvalidArguments(
        f"unique task {task_name!r} cannot compare its argument {argument!r}: {reason}. "
        "Pass plain values such as ids, or give the task unique_by=."
    )
