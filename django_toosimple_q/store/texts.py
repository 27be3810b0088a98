"""Fit texts into the columns of the queue's database: what one cannot hold is escaped.

Names are not: under another name nothing would be found. Those that cannot be stored are left out.
"""

from collections.abc import Iterable
from typing import Any, TypeVar, overload

from django.db import DatabaseError

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import QUEUES, SCHEDULES, TABLE
from django_toosimple_q.databases.charsets import Charsets, escaped
from django_toosimple_q.exceptions import UnstorableName
from django_toosimple_q.store.transaction import in_autocommit
from django_toosimple_q.text import clean

TASK_NAMES, TASK_QUEUES = f"{TABLE}.task_name", f"{TABLE}.queue"
QUEUE_NAMES, SCHEDULE_NAMES = f"{QUEUES}.name", f"{SCHEDULES}.name"
T = TypeVar("T")

# By the settings of a database, since its encoding stays what it is while a process runs.
_found: dict[tuple[str, str], Charsets] = {}


def charsets(connection: Any) -> Charsets:
    """Return what the columns of the queue hold on this connection."""
    key = connection.alias, str(connection.settings_dict["NAME"])
    found = _found.get(key)
    if found is None:
        found = database_of(connection).charsets(connection)
        if found.final:
            _found[key] = found
    return found


@overload
def storable(connection: Any, text: str, length: int | None = None) -> str: ...
@overload
def storable(connection: Any, text: str | None, length: int | None = None) -> str | None: ...
def storable(connection: Any, text: str | None, length: int | None = None) -> str | None:
    """Return a text of at most `length` characters as every column of the queue holds it."""
    if text is None or text.isascii():
        return text
    fitting = escaped(text, charsets(connection).codecs)
    return fitting if length is None or len(fitting) <= length else f"{fitting[: length - 3]}..."


def storable_names(connection: Any, names: Iterable[str], column: str) -> list[str]:
    """Return those of the names that a column can hold."""
    return [name for name in names if holds(connection, name, column)]


def holds(connection: Any, name: str, column: str) -> bool:
    """Return whether a column can hold a name."""
    return name.isascii() or escaped(clean(name), charsets(connection).of(column)) == name


@in_autocommit
def unstorable(connection: Any, names: Iterable[str], column: str) -> list[str]:
    """Return those of the names that a column cannot hold."""
    return [name for name in names if not holds(connection, name, column)]


def refuse_unstorable(
    connection: Any, name: str, column: str, error: DatabaseError | None = None
) -> None:
    """Raise `UnstorableName` for a name that a column cannot hold, in place of the `error`."""
    if not holds(connection, name, column):
        raise UnstorableName(
            f"the database {connection.alias!r} cannot hold the name {name!a}, since its encoding "
            "lacks some of its characters. Use another name, or a database in UTF-8."
        ) from error
