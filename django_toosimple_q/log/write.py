"""Write one line to the logger "toosimpleq", whatever is in its values."""

import logging
import sys
from contextlib import suppress
from typing import Any

from django_toosimple_q.text import named, printable, short_traceback, shortened

logger = logging.getLogger("toosimpleq")


class Burst:
    """Counts what happens within a while that begins with the first of it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start_over()

    def start_over(self) -> None:
        """Begin a new while with the next one."""
        self.since, self.count = -self.seconds, 0

    def add(self, now: float) -> int:
        """Count one more by the monotonic clock; return how many there are in this while."""
        if now - self.since >= self.seconds:
            self.since, self.count = now, 0
        self.count += 1
        return self.count


def is_enabled(level: int) -> bool:
    """Return whether a line of this level is written.

    A `dictConfig()` in some library disables the loggers that are there already, by default. That
    is no wish to hear nothing of tasks: a level of the logger is.
    """
    logger.disabled = False
    return logger.isEnabledFor(level)


def write(
    level: int,
    message: str,
    *values: Any,
    below: str = "",
    exception: BaseException | None = None,
    **fields: Any,
) -> None:
    """Write a line, with all control characters in its values escaped, and long ones cut.

    `below` is text of several lines that follows it. The traceback of `exception` goes with the
    record, for formatters and for services that collect errors. `fields` become attributes of the
    record, for formatters that write more than lines.
    """
    if not is_enabled(level):
        return
    values = tuple(map(harmless, values))
    if below:
        message, values = f"{message}\n%s", (*values, printable(below, lines=True))
    exc_info = None
    if exception is not None:
        exc_info = type(exception), exception, exception.__traceback__
    where = logger.findCaller(stacklevel=2)
    try:
        record = _record(level, where, message, values, exc_info, fields)
        if exception is not None:
            # What a formatter would make of it at its own length.
            record.exc_text = short_traceback(exception)
        logger.handle(record)
    except BaseException as broken:
        # User code: __str__ of the exception, __repr__ of what its frames hold. Handlers catch
        # Exception only, and nothing that a task leaves behind may end its worker.
        values = *values, named(broken)
        message = f"{message} traceback=(%s)"
        try:
            logger.handle(_record(level, where, message, values, None, fields))
        except BaseException:  # it is a handler of the project, or a filter
            say_unlogged(message % values)


def say_unlogged(line: str) -> None:
    """Print a line that no handler takes, as the logging module does where it may."""
    if logging.raiseExceptions:
        # There may be no such stream, or it is closed.
        with suppress(Exception):
            print(f"--- Logging error --- {line}", file=sys.__stderr__)


def harmless(value: Any) -> Any:
    """Return a text in a form that every terminal shows, and no log overflows with."""
    return shortened(printable(value)) if isinstance(value, str) else value


def _record(
    level: int, where: Any, message: str, values: Any, exc_info: Any, fields: dict[str, Any]
) -> logging.LogRecord:
    """Return a record with further attributes, whatever attributes the project's records have."""
    path, line, function, _ = where
    record = logger.makeRecord(logger.name, level, path, line, message, values, exc_info, function)
    vars(record).update({name: harmless(value) for name, value in fields.items()})
    return record
