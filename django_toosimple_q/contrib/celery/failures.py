"""The exception of an attempt, made again from the traceback that its row keeps."""

import re
import sys

from django_toosimple_q.contrib.celery.exceptions import TaskFailed

# "package.module.Class" or "Class", then the message.
LAST_PART = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.DOTALL)


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
        return kind(message) if message else kind()
    except Exception:  # a constructor that wants something else
        return TaskFailed(text)


def last_part(error: str) -> str:
    """Return what stands after the last frame of a traceback: class and message."""
    lines = error.rstrip("\n").split("\n")
    frames = [number for number, line in enumerate(lines) if line.startswith("  ")]
    last = frames[-1] + 1 if frames and frames[-1] + 1 < len(lines) else 0
    return "\n".join(lines[last:])


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
