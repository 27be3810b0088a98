"""The options of `apply_async`: what each means for the row, or a warning that it means nothing."""

import sys
import warnings
from collections.abc import Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
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
from django_toosimple_q.task import resolve_due

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
# What each method takes and what there means nothing, with what to do about it.
METHODS: Mapping[str, tuple[tuple[str, ...], frozenset[str], str]] = {
    "apply_async": (USED, WITHOUT_EFFECT, "Remove it."),
    "retry": (("countdown", "eta", "exc", "max_retries", "throw"), WITHOUT_EFFECT, "Remove it."),
    "revoke": (
        (),
        frozenset({"connection", "terminate", "signal", "wait", "timeout"}),
        "A call that runs goes on; its task is told by current_task_exec().interrupted.",
    ),
}
PACKAGE = "django_toosimple_q."
REFUSED = {
    "task_id": "The queue makes the ids: keep the .id of what apply_async() returns.",
    "link": "Queue the next task at the end of this one: next_task.delay(result).",
    "link_error": "Catch the exception in the task and queue what is to follow.",
}


class CallOptions(NamedTuple):
    """When a call is due, and what its row has that its task's definition has not."""

    due: datetime | None
    changes: dict[str, Any]


def read(given: Mapping[str, Any]) -> CallOptions:
    """Return what the options of a call mean.

    Raises `InvalidOption` for a value that cannot be right, `InvalidDue` for an eta that is no
    datetime, `NotSupported` for what this queue does not have. Warns once of what has no effect.
    """
    for name, value in given.items():
        if name not in USED:
            refuse_or_warn(name, value)
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
            f"countdown={countdown!r} and eta={eta!r} are both given. Give one of them."
        )
    if eta is not None:
        return resolve_due(_in_zone(eta))
    if countdown is None:
        return None
    seconds = seconds_of("countdown", countdown)
    if seconds < 0:
        raise InvalidOption(f"countdown cannot be {countdown!r}. Use 0 or more seconds.")
    try:
        return resolve_due(timezone.now() + timedelta(seconds=seconds)) if seconds else None
    except OverflowError as error:
        raise InvalidOption(f"countdown={countdown!r} is beyond the year 9999.") from error


def expiry(expires: Any) -> datetime | timedelta | None:
    """Return when a call is to be dropped: seconds from now, a timedelta, or a datetime."""
    if expires is None or isinstance(expires, timedelta):
        return expires
    if isinstance(expires, datetime):
        return resolve_due(_in_zone(expires))
    return timedelta(seconds=seconds_of("expires", expires))


def seconds_of(name: str, value: Any) -> float:
    """Return a number of seconds. Raises `InvalidOption` for anything else."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidOption(
            f"{name} cannot be {value!r} ({type(value).__name__}). Use a number of seconds."
        )
    return value


def refuse_or_warn(name: str, value: Any = True, method: str = "apply_async") -> None:
    """Raise `NotSupported` for an option that would be missed, warn once of one that is not."""
    if name not in REFUSED:
        warn_ignored(name, method)
    elif value:
        raise NotSupported(f"{method} has no option {name!r} here. {REFUSED[name]}")


@cache
def warn_ignored(name: str, method: str = "apply_async") -> None:
    """Warn that an option of a method means nothing, once for each name."""
    used, ignored, cure = METHODS[method]
    if name in ignored:
        message = f"The option {name!r} of {method} has no effect here. {cure}"
    else:
        known = (*used, *sorted(ignored))
        close = get_close_matches(name, known, n=1)
        cure = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(used or known)}."
        message = f"{method} has no option {name!r}, so it has no effect. {cure}"
    warnings.warn(message, IgnoredOption, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Return the stack level, as `warnings` counts, of the first frame outside of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def _in_zone(moment: Any) -> Any:
    """Return a datetime without a zone in CELERY_TIMEZONE, when that is set."""
    zone = conf.get("CELERY_TIMEZONE")
    if zone is None or not isinstance(moment, datetime) or timezone.is_aware(moment):
        return moment
    return moment.replace(tzinfo=ZoneInfo(str(zone)))
