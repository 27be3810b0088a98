"""Rebuild the exception of an attempt from the class name and the message in its row."""

import re
import sys
from ast import literal_eval
from contextlib import suppress
from typing import Any

from django_toosimple_q.contrib.celery.exceptions import TaskFailed

# The message of an OSError contains its arguments.
SYSTEM = re.compile(r"^\[Errno (\d+)\] (.*?)(?:: '(.*)')?$", re.DOTALL)


def exception_of(row: Any) -> BaseException:
    """Return the exception that ended an attempt, of its own class if possible.

    The class must be in a module that is already imported, and must accept a message.
    """
    text = f"{shown(row.error_type)}: {row.error_message}" if row.error_type else row.error
    kind = exception_class(row.error_type) if row.error_type else None
    if kind is None:
        return TaskFailed((text or "").rstrip("\n"))
    try:
        return kind(*arguments(kind, row.error_message))
    except Exception:  # the constructor expects other arguments
        return TaskFailed(text)


def shown(path: str) -> str:
    """Return the name of a class as a traceback shows it."""
    return path.removeprefix("builtins.")


def arguments(kind: type[Exception], message: str) -> tuple[Any, ...]:
    """Return the arguments of an exception, read from its message."""
    if not message:
        return ()
    if issubclass(kind, KeyError):
        with suppress(ValueError, SyntaxError):  # the key is not a literal
            return (literal_eval(message),)
    system = SYSTEM.match(message) if issubclass(kind, OSError) else None
    if system:
        number, reason, name = system.groups()
        return (int(number), reason) if name is None else (int(number), reason, name)
    return (message,)


def exception_class(path: str) -> type[Exception] | None:
    """Return the exception class with this dotted name, or None."""
    module, _, name = path.rpartition(".")
    while module and module not in sys.modules:
        module, _, outer = module.rpartition(".")
        name = f"{outer}.{name}"
    found: object = sys.modules.get(module or "builtins")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
