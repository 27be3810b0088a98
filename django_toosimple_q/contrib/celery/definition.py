"""The options of `shared_task`, read into a definition of this queue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from fractions import Fraction
from math import ceil
from typing import Any

from django_toosimple_q.contrib.celery import conf
from django_toosimple_q.contrib.celery.exceptions import NotSupported
from django_toosimple_q.contrib.celery.options import expiry, seconds_of
from django_toosimple_q.exceptions import (
    InvalidDefinition,
    TaskDidNotStop,
    TaskTimeout,
    UnknownOption,
)
from django_toosimple_q.limits import UNITS

# Celery's, accepted: a row in the database already is what they ask for, or has no use for them.
WITHOUT_EFFECT = frozenset(
    (
        *("acks_on_failure_or_timeout", "compression", "delivery_mode", "exchange", "immediate"),
        *("lazy", "mandatory", "reject_on_worker_lost", "resultrepr_maxsize", "routing_key"),
        *("send_events", "serializer", "shared", "store_eager_result"),
        *("store_errors_even_if_ignored", "throws", "track_started", "trail", "typing"),
    )
)
REFUSED = {
    "base": "Put what tasks share into a decorator or function of yours.",
    "on_success": "Do it at the end of the task.",
    "on_failure": "Catch the exception in the task, or connect to signals.task_finished.",
    "on_retry": "Catch the exception in the task before it calls retry().",
    "after_return": "Use try … finally in the task.",
    "before_start": "Do it at the beginning of the task.",
    "pydantic": "Validate the arguments at the beginning of the task.",
}
FOR_EVER = -1
# What a route may say; all but queue and priority concern brokers.
ROUTE_KEYS = frozenset(
    ("queue", "priority", "routing_key", "exchange", "exchange_type", "delivery_mode", "serializer")
)
# What a call gets beyond its hard limit to notice it: it is raised there, Celery kills the process.
HARD_GRACE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What `shared_task` takes, with Celery's defaults. None: as CELERY_TASK_… says."""

    name: str | None = None
    queue: str | None = None
    priority: int | None = None
    bind: bool = False
    autoretry_for: Any = ()
    dont_autoretry_for: Any = ()
    retry_kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int | None = 3
    default_retry_delay: float = 180
    retry_backoff: float = False
    retry_backoff_max: int = 600
    retry_jitter: bool = True
    time_limit: float | None = None
    soft_time_limit: float | None = None
    expires: Any = None
    rate_limit: str | float | None = None
    ignore_result: bool | None = None
    acks_late: bool | None = None

    def setting(self, name: str, default: str | None = None) -> Any:
        """Return an option, or what CELERY_TASK_… has for it."""
        value = getattr(self, name)
        return conf.get(f"CELERY_TASK_{default or name.upper()}") if value is None else value


NAMES = frozenset(one.name for one in fields(TaskOptions))


def read(given: Mapping[str, Any]) -> TaskOptions:
    """Return the options of a task. Raises `UnknownOption`, `NotSupported`."""
    for name in given:
        if name in REFUSED:
            raise NotSupported(f"shared_task has no option {name!r} here. {REFUSED[name]}")
        if name not in NAMES and name not in WITHOUT_EFFECT:
            close = get_close_matches(name, (*NAMES, *WITHOUT_EFFECT), n=1)
            known = ", ".join(sorted(NAMES))
            cure = f"Did you mean {close[0]!r}?" if close else f"It has: {known}."
            raise UnknownOption(f"@shared_task has no option {name!r}. {cure}")
    return TaskOptions(**{name: value for name, value in given.items() if name in NAMES})


def settings_of(name: str, options: TaskOptions) -> dict[str, Any]:
    """Return what the definition of a task has. Raises `InvalidDefinition`."""
    routed = route(name)
    queue = options.queue if options.queue is not None else routed.get("queue")
    if queue is None:
        queue = conf.get("CELERY_TASK_DEFAULT_QUEUE")
    priority = options.priority if options.priority is not None else routed.get("priority")
    soft, hard = options.setting("soft_time_limit"), options.setting("time_limit")
    if soft is not None and hard is not None and hard <= soft:
        soft = None  # it is never reached
    grace = {}
    if hard is not None:
        grace["timeout_grace"] = HARD_GRACE_SECONDS if soft is None else hard - soft
    return {
        "queue_name": queue,
        "priority": conf.get("CELERY_TASK_DEFAULT_PRIORITY") if priority is None else priority,
        "timeout": hard if soft is None else soft,
        **grace,
        "rate_limit": rate(name, options.setting("rate_limit", "DEFAULT_RATE_LIMIT")),
        "expires": expiry(options.expires),
        # Celery forgets a call that began and was cut off, unless it is acknowledged late.
        "on_interruption": "replace" if options.setting("acks_late") else "hold",
        **retry_settings(name, options, hard_only=soft is None),
    }


def retry_settings(name: str, options: TaskOptions, *, hard_only: bool) -> dict[str, Any]:
    """Return Celery's rules for retries in this queue's words.

    Without back-off the delay is constant: the doubling is capped where it starts. A hard time
    limit ends a call for good; only the soft one is an exception of the task.
    """
    retried = types(name, "autoretry_for", options.autoretry_for)
    spared = types(name, "dont_autoretry_for", options.dont_autoretry_for)
    own = {"max_retries": options.max_retries, "countdown": options.default_retry_delay}
    if not isinstance(options.retry_kwargs or {}, Mapping):
        raise InvalidDefinition(
            f"task {name!r}: retry_kwargs cannot be {options.retry_kwargs!r}. "
            "Use a dict with max_retries and countdown."
        )
    for key, value in (options.retry_kwargs or {}).items():
        if key not in own:
            raise InvalidDefinition(
                f"task {name!r}: retry_kwargs has {key!r}. It takes max_retries and countdown."
            )
        if retried and value is not None:
            own[key] = value
    backoff = bool(retried and options.retry_backoff)
    delay = max(1, int(options.retry_backoff)) if backoff else whole_seconds(own["countdown"])
    return {
        "retries": retries_in_all(name, own["max_retries"]),
        "retry_delay": delay,
        "retry_delay_max": int(options.retry_backoff_max) if backoff else delay,
        "retry_jitter": backoff and bool(options.retry_jitter),
        "retry_for": retried,
        "retry_not_for": (*spared, TaskTimeout if hard_only else TaskDidNotStop)
        if retried
        else spared,
    }


def retries_in_all(name: str, limit: Any) -> int:
    """Return a number of retries as a row stores it; None is for ever."""
    if limit is None:
        return FOR_EVER
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidDefinition(
            f"task {name!r}: max_retries cannot be {limit!r}. "
            "Use 0 or more, or None to retry for ever."
        )
    return limit


def rate(name: str, given: Any) -> str | None:
    """Return a rate in this queue's form: a number is per second, and may be a fraction."""
    count, _, unit = str(given or 0).partition("/")
    try:
        per_second = Fraction(count) / UNITS[unit or "s"]
    except (ValueError, KeyError) as error:
        raise InvalidDefinition(
            f'task {name!r}: rate_limit cannot be {given!r}. Use a text such as "10/m".'
        ) from error
    if per_second <= 0:
        return None
    counts = {unit: per_second * seconds for unit, seconds in UNITS.items()}
    whole = [unit for unit, count in counts.items() if count.denominator == 1]
    unit = unit if unit in whole else (whole or ["d"])[0]
    return f"{max(1, int(counts[unit]))}/{unit}"


def types(name: str, option: str, given: Any) -> tuple[type[BaseException], ...]:
    """Return exception classes as a tuple."""
    if isinstance(given, type):
        return (given,)
    try:
        return tuple(given or ())
    except TypeError as error:
        raise InvalidDefinition(
            f"task {name!r}: {option} cannot be {given!r}. Use a tuple of exception classes."
        ) from error


def whole_seconds(value: Any) -> int:
    """Return seconds rounded up: the row counts them in whole ones."""
    return ceil(seconds_of("the delay of a retry", value))


def route(name: str) -> Mapping[str, Any]:
    """Return what CELERY_TASK_ROUTES has for a task: the first pattern that matches decides."""
    for pattern, where in route_pairs(conf.get("CELERY_TASK_ROUTES")):
        if pattern.match(name) if hasattr(pattern, "match") else fnmatchcase(name, pattern):
            found = {"queue": where} if isinstance(where, str) else where
            unknown = sorted(set(found).difference(ROUTE_KEYS))
            if unknown:
                raise InvalidDefinition(
                    f"CELERY_TASK_ROUTES has {unknown[0]!r} for {pattern!r}. Use queue, priority."
                )
            return found
    return {}


def route_pairs(routes: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each pattern and what it leads to, from any of the forms that Celery takes."""
    for one in routes.items() if isinstance(routes, Mapping) else routes:
        if isinstance(one, Mapping) or _is_list_of_pairs(one):
            yield from route_pairs(one)
        elif isinstance(one, tuple | list) and len(one) == 2:
            yield one[0], one[1]
        else:
            raise NotSupported(
                f"CELERY_TASK_ROUTES has {one!r}: router functions and classes are not run here. "
                "Use {pattern: {'queue': name}}."
            )


def _is_list_of_pairs(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, list | tuple) for one in value)
