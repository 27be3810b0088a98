"""Keep what a task logs with its run: a record belongs to the run in whose context it is made.

The factory of log records is wrapped, not a handler added: a handler at the root would silence the
one that Python falls back on, and would miss loggers that do not propagate.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_toosimple_q import conf
from django_toosimple_q.exceptions import TaskInterrupted, TaskTimeout
from django_toosimple_q.text import clean, named, shortened
from django_toosimple_q.worker.execution import output

# Of a run the last records, so many and of so many bytes in all.
MOST, ROOM = 100, 16_000
# Of each, in characters.
MESSAGE_LENGTH, NAME_LENGTH = 1000, 100


class LogRecords:
    """The last records of a run, each as the JSON of seconds, level, logger and message."""

    def __init__(self) -> None:
        self.kept: deque[str] = deque()
        self.size = self.dropped = 0
        # The threads that a coroutine uses log at once.
        self.lock = threading.RLock()

    def add(self, record: logging.LogRecord) -> None:
        """Note a record; its message is formatted now, since its arguments may change."""
        try:
            entry = written(record)
        except (TaskInterrupted, TaskTimeout):
            raise
        except Exception:  # what the project's factory has made of its attributes
            self.dropped += 1
            return
        with self.lock:
            self.kept.append(entry)
            self.size += len(entry)
            while len(self.kept) > MOST or self.size > ROOM:
                self.size -= len(self.kept.popleft())
                self.dropped += 1

    def text(self) -> str:
        """Return how many were dropped, and the others, as the JSON that the row keeps."""
        return f"[{self.dropped}, [{', '.join(list(self.kept))}]]"


def written(record: logging.LogRecord) -> str:
    """Return a record as the row keeps it."""
    names = (clean(shortened(one, NAME_LENGTH)) for one in (record.levelname, record.name))
    message = clean(shortened(message_of(record), MESSAGE_LENGTH))
    return json.dumps([round(record.created, 3), *names, message])


def message_of(record: logging.LogRecord) -> str:
    """Return the message of a record, with the type and text of its exception if it has one."""
    try:
        text = str(record.getMessage())
    except (TaskInterrupted, TaskTimeout):
        raise
    except Exception as error:  # user code: arguments that do not fit, and their __str__
        what = record.msg if isinstance(record.msg, str) else f"<{type(record.msg).__name__}>"
        text = f"{what} (cannot be formatted: {type(error).__name__})"
    raised = record.exc_info[1] if record.exc_info else None
    return text if raised is None else f"{text}\n{named(raised)}"


# The factory that keeps records in this process now.
_keeping: Any = None


@contextmanager
def kept() -> Iterator[None]:
    """Keep the records of tasks while the block runs, once for each process."""
    global _keeping
    level, before = conf.task_log_level(), logging.getLogRecordFactory()
    if level is None or _keeping is not None:
        yield
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        run = output.current() if _keeping is factory else None
        # One that a queue or a socket has brought is made without a level, and filled afterwards.
        if run is not None and isinstance(record.levelno, int) and record.levelno >= level:
            if run.records is None:
                run.records = LogRecords()
            run.records.add(record)
        return record

    _keeping = factory
    logging.setLogRecordFactory(factory)
    try:
        yield
    finally:
        _keeping = None
        # Somebody may have put another one around it, which calls it for ever.
        if logging.getLogRecordFactory() is factory:
            logging.setLogRecordFactory(before)
