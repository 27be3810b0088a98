"""The errors that this package raises; each states the fact, the value and the cure."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django_toosimple_q.retry import LONGEST_DELAY_SECONDS

LONGEST_SHOWN = 100


def said(error: BaseException) -> str:
    """Return type and text of an error of user code, whose own methods may raise anything."""
    kind = kind_of(error)
    try:
        return f"{kind}: {error}"
    except BaseException:
        return f"{kind} (its text cannot be read)"


def kind_of(error: BaseException) -> str:
    """Return the name of an error's class, of an error whose text is not to be shown."""
    # Past a metaclass that has a __name__ of its own.
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name


class ToosimpleQError(Exception):
    """Any error of this package."""


class InvalidCron(ToosimpleQError, ValueError):
    """A cron expression that cannot be read, or that never matches."""


class InvalidDefinition(ToosimpleQError, ValueError):
    """A task or schedule defined with an option that cannot be right."""


class DuplicateName(InvalidDefinition):
    """Two definitions under one name."""


class UnknownOption(ToosimpleQError, TypeError):
    """A keyword that a decorator does not have."""


class InvalidArguments(ToosimpleQError, TypeError):
    """Arguments that do not fit the task's signature, or that cannot be stored."""


class InvalidDue(ToosimpleQError, TypeError):
    """A due date that is not a datetime, or that some database could not keep."""


class InvalidRetry(ToosimpleQError, ValueError):
    """A `Retry` with a delay or another argument that cannot be right."""


class InvalidProgress(ToosimpleQError, ValueError):
    """A progress with an amount that is no number of 0 or more, or a message that is no text."""


class UnreadablePayload(ToosimpleQError, ValueError):
    """A stored payload whose signature does not match, or that cannot be unpickled."""


class NoReference(ToosimpleQError, ValueError):
    """A row of a model that cannot be an argument, since nothing could load it again."""


class UnstorableName(ToosimpleQError, ValueError):
    """A name of a task, queue or schedule with characters that the queue's database cannot hold."""


class UnreadableRow(ToosimpleQError, ValueError):
    """A row in which a column holds what this code never writes into it."""


class ResultGone(ToosimpleQError, LookupError):
    """A call whose row is deleted: it has ended, and was not kept."""


class UnknownTask(ToosimpleQError, LookupError):
    """A row whose task is not registered in any worker."""

    def __init__(self, name: str) -> None:
        module = name.partition("@")[0].rpartition(".")[0]
        where = f"the module {module!r}, if its name is right" if module else "its module"
        super().__init__(
            f"no worker knows the task {name!r}. Import {where}, where workers start: from "
            "tasks.py of an installed app, or in AppConfig.ready(). A worker that knows it queues "
            "the call again when it starts."
        )


class LabelInUse(ToosimpleQError):
    """A worker label that a live worker holds."""


class AutocommitOff(ToosimpleQError):
    """A worker was started in a project whose database commits nothing by itself."""


class NotMigrated(ToosimpleQError):
    """The queue's tables are missing or older than this code."""


class TaskTimeout(ToosimpleQError):
    """Raised inside a task that ran longer than its `timeout`."""


class TaskDidNotStop(TaskTimeout):
    """Recorded for a task that ran `timeout_grace` seconds longer than its `timeout`."""


class ResultNotStored(ToosimpleQError):
    """Recorded for a task whose result cannot be stored: its work was done."""


class TransactionLeftOpen(ToosimpleQError):
    """Recorded for a task that returned inside a transaction: what it wrote there is gone."""


class TaskInterrupted(BaseException):
    """Raised inside a running task that the worker must cut off; tasks should not catch it.

    The call is then replaced. One that a task raises itself is a failure of the task.
    """

    by_worker = False

    @classmethod
    def cut_off(cls, reason: str) -> "TaskInterrupted":
        """Return the one that a worker raises."""
        error = cls(reason)
        error.by_worker = True
        return error


class Retry(ToosimpleQError):
    """Raise inside a task to run it again later.

        raise Retry("the report is not ready", delay=30)

    It uses up one of the task's retries unless `count` is false. Without `delay` (seconds, or a
    timedelta, a year at most) the task's own `retry_delay` applies. Raises `InvalidRetry` for
    arguments that cannot be right.
    """

    delay_seconds: float | None
    count: bool

    def __init__(
        self,
        message: str = "the task asked for a retry",
        *,
        delay: float | timedelta | None = None,
        count: bool = True,
    ) -> None:
        given: Any = message
        if isinstance(given, int | float | timedelta):
            raise InvalidRetry(
                f"the message of a Retry cannot be {shown(given)}. Use Retry(delay=…)."
            )
        if not isinstance(count, bool):
            raise InvalidRetry(f"count of a Retry cannot be {shown(count)}. Use True or False.")
        super().__init__(message)
        self.delay_seconds = None if delay is None else _delay_seconds(delay)
        self.count = count


class Cancel(ToosimpleQError):
    """Raise inside a task to give up at once, whatever retries are left."""

    def __init__(self, reason: str = "the task cancelled itself") -> None:
        super().__init__(reason)


def _delay_seconds(delay: Any) -> float:
    seconds: Any = delay.total_seconds() if isinstance(delay, timedelta) else delay
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    # NaN is not between any two numbers.
    if not number or not 0 <= seconds <= LONGEST_DELAY_SECONDS:
        raise InvalidRetry(
            f"delay of a Retry cannot be {shown(delay)}. "
            f"Use a timedelta or a number of seconds from 0 to {LONGEST_DELAY_SECONDS}."
        )
    return float(seconds)


def shown(value: Any) -> str:
    """Return a refused value as an error states it: not at any length, and whatever it is."""
    try:
        text = f"{value:g}" if isinstance(value, float) else repr(value)
    except Exception as error:  # user code, or an integer of more digits than Python writes
        text = f"<a {type(value).__name__} that cannot be shown: {type(error).__name__}>"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def did_you_mean(
    name: object,
    known: Iterable[str],
    otherwise: str,
    *,
    aliases: Mapping[str, str] | None = None,
    cutoff: float = 0.6,
    write: Callable[[str], str] = repr,
) -> str:
    """Return the cure for an unknown name: the known one that was probably meant, or `otherwise`.

    `aliases` leads from names that are used elsewhere to ours. `cutoff` is how much of a name must
    be right, from 0 to 1. `write` makes a name the text that is shown.
    """
    text = str(name)
    close = [(aliases or {}).get(text), *get_close_matches(text, known, n=1, cutoff=cutoff)]
    meant = next((one for one in close if one is not None), None)
    return otherwise if meant is None else f"Did you mean {write(meant)}?"


class RowGone(Cancel):
    """A row of a model that was an argument, and is gone by the time that the task runs."""
