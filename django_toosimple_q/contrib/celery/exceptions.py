"""Celery's exceptions as this queue raises them, and `NotSupported` for missing features."""

import builtins
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django_toosimple_q import exceptions as core
from django_toosimple_q.moments import aware, current_moment, resolve_due

# Both names are one class, so a task that exceeds its limit can catch it by either.
SoftTimeLimitExceeded = core.TaskTimeout
TimeLimitExceeded = core.TaskTimeout


class CeleryError(core.ToosimpleQError):
    """The base class of the errors of Celery's API."""


class NotSupported(CeleryError, NotImplementedError):
    """A feature of Celery that this queue does not have."""


def absent(module: str, cures: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """Return a module's `__getattr__`, which names a replacement for each missing name."""

    def refuse(name: str) -> NoReturn:
        if name in cures:
            raise NotSupported(f"{module}.{name} is not available here. {cures[name]}")
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return refuse


class NotRegistered(CeleryError, KeyError):
    """No imported module has registered a task with this name."""

    __str__ = Exception.__str__


class InvalidId(CeleryError, ValueError):
    """A task id is not a UUID."""


class InvalidOption(CeleryError, ValueError):
    """An option of a call has an invalid value."""


class IgnoredOption(UserWarning):
    """An option of a call has no effect here."""


class TaskError(CeleryError):
    """A task ended without a result."""


class TaskFailed(TaskError):
    """The task raised an exception that cannot be rebuilt here. `str()` is its text."""


class TaskRevokedError(TaskError):
    """The call was revoked, or expired, before it ran."""


class MaxRetriesExceededError(TaskError):
    """The task asked for a retry and has none left."""


class ResultGone(TaskError, LookupError):
    """The call has ended, and its row has been deleted."""


class TimeoutError(CeleryError, builtins.TimeoutError):  # noqa: A001  (Celery's name)
    """The call did not end in time."""


class Retry(core.Retry):
    """Ends the attempt. The call runs again after `when` (seconds, or a datetime).

    `task.retry()` raises it. A task that raises it directly also uses up a retry.
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
        super().__init__(message or _message(exc, delay), delay=delay, count=count)
        self.message = message
        self.exc = exc
        self.when = when
        self.is_eager = is_eager


def _seconds_until(when: datetime) -> float:
    return max(0.0, (aware(resolve_due(when)) - current_moment()).total_seconds())


def _message(exc: BaseException | None, delay: Any) -> str:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    # The exception itself refuses anything that is not a number.
    when = f"Retry in {seconds:g}s" if isinstance(seconds, int | float) else "Retry"
    return when if exc is None else f"{when}: {exc!r}"


__getattr__ = absent(
    "celery.exceptions",
    {
        "Ignore": "Raise django_toosimple_q.exceptions.Cancel, which fails without a retry.",
        "Reject": "Raise django_toosimple_q.exceptions.Cancel, which fails without a retry.",
        "WorkerLostError": "The row of a call whose worker died is INTERRUPTED.",
        "ImproperlyConfigured": "Use django.core.exceptions.ImproperlyConfigured.",
        "ChordError": "There are no chords.",
        "OperationalError": "A lost database raises django.db.OperationalError.",
    },
)
