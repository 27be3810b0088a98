"""The exception of an attempt, made again from the traceback that its row keeps."""

import re
import sys
from ast import literal_eval
from contextlib import suppress
from typing import Any

from django_toosimple_q.contrib.celery.exceptions import TaskFailed

# "package.module.Class" or "Class", then the message.
LAST_PART = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.DOTALL)
FRAME = '  File "'
# An error of the operating system writes its arguments into its text.
SYSTEM = re.compile(r"^\[Errno (\d+)\] (.*?)(?:: '(.*)')?$", re.DOTALL)
# The first line of a group, which is drawn as a tree.
GROUP = re.compile(r"^  \| ([\w.]*ExceptionGroup: .*)$", re.MULTILINE)


def exception_of(error: str) -> BaseException:
    """Return the exception at the end of a traceback, of its own class when that is at hand.

    Only classes of modules that are imported already, which take a message, are made again.
    """
    text = last_part(error)
    found = LAST_PART.match(text)
    if found is None:
        return TaskFailed(text)
    path, message = found[1], found[2] or ""
    kind = exception_class(path)
    if kind is None:
        return TaskFailed(text)
    try:
        return kind(*arguments(kind, message))
    except Exception:  # a constructor that wants something else
        return TaskFailed(text)


def arguments(kind: type[Exception], message: str) -> tuple[Any, ...]:
    """Return what an exception of a class was made of, going by its text."""
    if not message:
        return ()
    if issubclass(kind, KeyError):
        with suppress(ValueError, SyntaxError):  # a key that is no literal
            return (literal_eval(message),)
    system = SYSTEM.match(message) if issubclass(kind, OSError) else None
    if system:
        number, told, name = system.groups()
        return (int(number), told) if name is None else (int(number), told, name)
    return (message,)


def last_part(error: str) -> str:
    """Return what stands after the last frame of a traceback: class and message."""
    group = GROUP.search(error)
    if group:
        return group[1]
    lines = error.rstrip("\n").split("\n")
    frames = [number for number, line in enumerate(lines) if line.startswith(FRAME)]
    if not frames:
        return error.rstrip("\n")
    # The frame's own code follows it, indented; a message may have lines that are, too.
    after = (number for number in range(frames[-1] + 1, len(lines)) if lines[number][:1] != " ")
    return "\n".join(lines[next(after, 0) :])


def exception_class(path: str) -> type[Exception] | None:
    """Return the exception class of a dotted name, or None."""
    module, _, name = path.rpartition(".")
    while module and module not in sys.modules:
        module, _, outer = module.rpartition(".")
        name = f"{outer}.{name}"
    found: object = sys.modules.get(module or "builtins")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
