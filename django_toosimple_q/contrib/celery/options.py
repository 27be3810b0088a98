"""The options of `apply_async`: what each sets in the row, or a warning that it has no effect."""

import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from math import isfinite
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.utils import timezone

from django_toosimple_q.contrib.celery import conf
from django_toosimple_q.contrib.celery.exceptions import (
    IgnoredOption,
    InvalidOption,
    NotSupported,
)
from django_toosimple_q.exceptions import did_you_mean
from django_toosimple_q.moments import current_moment, resolve_due
from django_toosimple_q.task_options import TASK_OPTIONS

# The options of a call that override an option of its task, and which.
MEANT = {
    "queue": "queue",
    "priority": "priority",
    "soft_time_limit": "timeout",
    "time_limit": "timeout",
}
USED = ("countdown", "eta", "expires", "queue", "priority", "time_limit", "soft_time_limit")
WITHOUT_EFFECT = frozenset(
    (
        *("add_to_parent", "chord", "compression", "connection", "content_encoding"),
        *("content_type", "correlation_id", "delivery_mode", "exchange", "exchange_type"),
        *("group_id", "group_index", "headers", "ignore_result", "immediate", "mandatory"),
        *("parent_id", "producer", "publisher", "replaced_task_nesting", "reply_to", "retries"),
        *("retry", "retry_policy", "root_id", "routing_key", "serializer", "shadow"),
        "stamped_headers",
    )
)
# For each method: the options that it uses, those that it ignores, and the cure for the latter.
METHODS: Mapping[str, tuple[tuple[str, ...], frozenset[str], str]] = {
    "apply_async": (USED, WITHOUT_EFFECT, "Remove it."),
    "retry": (("countdown", "eta", "exc", "max_retries", "throw"), WITHOUT_EFFECT, "Remove it."),
    "revoke": (
        (),
        frozenset({"connection", "terminate", "signal", "wait", "timeout"}),
        "A running call continues. Its task can check "
        "django_toosimple_q.current_task().interrupted.",
    ),
}
PACKAGE = "django_toosimple_q."
REFUSED = {
    "task_id": "The queue makes the ids. Keep the .id of the result of apply_async().",
    "link": "Queue the next task at the end of this one: next_task.delay(result).",
    "link_error": "Catch the exception in the task, and queue the next task there.",
}


class CallOptions(NamedTuple):
    """When a call is due, and how its row differs from the task's definition."""

    due: datetime | None
    changes: dict[str, Any]


def read(given: Mapping[str, Any]) -> CallOptions:
    """Return the options of a call in this queue's terms.

    Raises `InvalidOption` for an invalid value, `InvalidDue` for an eta that is not a datetime,
    and `NotSupported` for a feature that this queue does not have. Warns once of each option
    that has no effect.
    """
    for name, value in given.items():
        if name not in USED:
            refuse_or_warn(name, value)
    for name, meant in MEANT.items():
        if given.get(name) is not None:
            TASK_OPTIONS[meant].read(given[name], name, InvalidOption)
    soft, hard = given.get("soft_time_limit"), given.get("time_limit")
    changes = {
        "queue_name": given.get("queue"),
        "priority": given.get("priority"),
        "timeout": soft if soft is not None else hard,
        "expires": expiry(given.get("expires")),
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    return CallOptions(due_of(given.get("countdown"), given.get("eta")), changes)


def due_of(countdown: float | None, eta: datetime | None) -> datetime | None:
    """Return when a call is due, or None for at once. Raises as `read` does."""
    if countdown is not None and eta is not None:
        raise InvalidOption(
            f"countdown={countdown!r} and eta={eta!r} cannot be combined. Use one of them."
        )
    if eta is not None:
        return resolve_due(_in_zone(eta))
    if countdown is None:
        return None
    seconds = seconds_of("countdown", countdown)
    if seconds < 0:
        raise InvalidOption(f"countdown cannot be {countdown!r}. Use 0 or more seconds.")
    try:
        return resolve_due(current_moment() + timedelta(seconds=seconds)) if seconds else None
    except OverflowError as error:
        raise InvalidOption(f"countdown={countdown!r} is beyond the year 9999.") from error


def expiry(
    expires: Any, what: str = "expires", error: type[Exception] = InvalidOption
) -> datetime | timedelta | None:
    """Return when a call expires, given seconds from now, a timedelta, or a datetime.

    With no time left it expires now, and is dropped as with Celery.
    """
    if expires is None:
        return None
    if isinstance(expires, datetime):
        return resolve_due(_in_zone(expires))
    seconds = seconds_of(what, expires, error)
    if seconds <= 0:
        return current_moment()
    # A number too large for a timedelta is passed on unchanged, and the option refuses it.
    with suppress(OverflowError):
        expires = timedelta(seconds=seconds)
    read: timedelta = TASK_OPTIONS["expires"].read(expires, what, error)
    return read


def seconds_of(name: str, value: Any, error: type[Exception] = InvalidOption) -> float:
    """Return a number of seconds. Raises `error` for anything else."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise error(
            f"{name} cannot be {value!r} ({type(value).__name__}). Use a number of seconds."
        )
    return value


def refuse_or_warn(name: str, value: Any = True, method: str = "apply_async") -> None:
    """Raise `NotSupported` for an option that matters, or warn once of one that does not."""
    if name not in REFUSED:
        warn_ignored(name, method)
    elif value:
        raise NotSupported(f"{method} has no option {name!r} here. {REFUSED[name]}")


@cache
def warn_ignored(name: str, method: str = "apply_async") -> None:
    """Warn that an option of a method has no effect, once for each name."""
    used, ignored, cure = METHODS[method]
    if name in ignored:
        message = f"The option {name!r} of {method} has no effect here. {cure}"
    else:
        known = (*used, *sorted(ignored))
        cure = did_you_mean(name, known, f"There are: {', '.join(used or known)}.")
        message = f"{method} has no option {name!r}, so it has no effect. {cure}"
    warnings.warn(message, IgnoredOption, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Return the stack level, as `warnings` counts, of the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def _in_zone(moment: Any) -> Any:
    """Return a naive datetime in CELERY_TIMEZONE, if that is set."""
    zone = conf.get("CELERY_TIMEZONE")
    if zone is None or not isinstance(moment, datetime) or timezone.is_aware(moment):
        return moment
    return moment.replace(tzinfo=ZoneInfo(str(zone)))
