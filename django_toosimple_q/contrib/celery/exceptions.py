"""Celery's exceptions as this queue raises them, and `NotSupported` for what it does not have."""

import builtins
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.utils import timezone

from django_toosimple_q import exceptions as core
from django_toosimple_q.task import resolve_due

# One class: what is raised inside a task that overruns can be caught there under either name.
SoftTimeLimitExceeded = core.TaskTimeout
TimeLimitExceeded = core.TaskTimeout


class CeleryError(core.ToosimpleQError):
    """Any error of this face."""


class NotSupported(CeleryError, NotImplementedError):
    """Something that Celery has and this queue has not."""


def absent(module: str, cures: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """Return the `__getattr__` of a module that says what to use instead of Celery's names."""

    def refuse(name: str) -> NoReturn:
        if name in cures:
            raise NotSupported(f"{module}.{name} is not available here. {cures[name]}")
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return refuse


class NotRegistered(CeleryError, KeyError):
    """A task name that no import has registered."""

    __str__ = Exception.__str__


class InvalidId(CeleryError, ValueError):
    """A task id that is no UUID."""


class InvalidOption(CeleryError, ValueError):
    """An option of a call with a value that cannot be right."""


class IgnoredOption(UserWarning):
    """An option of a call that changes nothing here."""


class TaskError(CeleryError):
    """What came of a task when it is not a result."""


class TaskFailed(TaskError):
    """The task raised an exception whose class cannot be made again here: `str()` has its text."""


class TaskRevokedError(TaskError):
    """The call was revoked, or expired, before it ran."""


class MaxRetriesExceededError(TaskError):
    """The task asked for a retry and has none left."""


class ResultGone(TaskError, LookupError):
    """The call has ended and its row is deleted."""


class TimeoutError(CeleryError, builtins.TimeoutError):  # noqa: A001  (Celery's name)
    """There was no result in time."""


class Retry(core.Retry):
    """Ends the attempt; the call runs again after `when` (seconds, or a datetime).

    `task.retry()` makes and raises it. Raised by hand it uses up a retry in the same way.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | timedelta | datetime | None = None,
        is_eager: bool = False,
        *,
        count: bool = True,
    ) -> None:
        delay = _seconds_until(when) if isinstance(when, datetime) else when
        super().__init__(message or _told(exc, delay), delay=delay, count=count)
        self.message = message
        self.exc = exc
        self.when = when
        self.is_eager = is_eager


def _seconds_until(when: datetime) -> float:
    return max(0.0, (resolve_due(when) - timezone.now()).total_seconds())


def _told(exc: BaseException | None, delay: Any) -> str:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    when = "Retry" if seconds is None else f"Retry in {seconds:g}s"
    return when if exc is None else f"{when}: {exc!r}"


__getattr__ = absent(
    "celery.exceptions",
    {
        "Ignore": "Raise django_toosimple_q.exceptions.Cancel: the call fails at once, for good.",
        "Reject": "Raise django_toosimple_q.exceptions.Cancel: the call fails at once, for good.",
        "WorkerLostError": "A call whose worker died is INTERRUPTED; its row says so.",
        "ImproperlyConfigured": "Use django.core.exceptions.ImproperlyConfigured.",
        "ChordError": "There are no chords.",
        "OperationalError": "What a lost database raises is django.db.OperationalError.",
    },
)
