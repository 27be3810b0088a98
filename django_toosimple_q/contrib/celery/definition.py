"""Read the options of `shared_task` into a task definition of this queue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from fnmatch import fnmatchcase
from fractions import Fraction
from math import ceil
from typing import Any

from django_toosimple_q.contrib.celery import conf
from django_toosimple_q.contrib.celery.exceptions import NotSupported
from django_toosimple_q.contrib.celery.options import expiry
from django_toosimple_q.exceptions import (
    InvalidDefinition,
    TaskDidNotStop,
    TaskTimeout,
    UnknownOption,
    did_you_mean,
)
from django_toosimple_q.rate import UNITS
from django_toosimple_q.retry import FOR_EVER, LONGEST_DELAY_SECONDS
from django_toosimple_q.task_options import TASK_OPTIONS, Option

# Options of Celery that are accepted: a row in the database does what they ask for, or does not
# need them.
WITHOUT_EFFECT = frozenset(
    (
        *("acks_on_failure_or_timeout", "compression", "delivery_mode", "exchange", "immediate"),
        *("lazy", "mandatory", "reject_on_worker_lost", "resultrepr_maxsize", "routing_key"),
        *("send_events", "serializer", "shared", "store_eager_result"),
        *("store_errors_even_if_ignored", "throws", "track_started", "trail", "typing"),
    )
)
REFUSED = {
    "base": "Put shared code into a decorator or function of your own.",
    "on_success": "Do it at the end of the task.",
    "on_failure": "Catch the exception in the task, or connect to signals.task_finished.",
    "on_retry": "Catch the exception in the task before it calls retry().",
    "after_return": "Use try … finally in the task.",
    "before_start": "Do it at the beginning of the task.",
    "pydantic": "Validate the arguments at the beginning of the task.",
}
# The keys of a route. All but queue and priority concern brokers and are ignored.
ROUTE_KEYS = frozenset(
    ("queue", "priority", "routing_key", "exchange", "exchange_type", "delivery_mode", "serializer")
)
SECONDS = Option(hint=float, low=0, high=LONGEST_DELAY_SECONDS, unit="seconds")
BACKOFF = Option(
    hint=bool | float,
    low=0,
    high=LONGEST_DELAY_SECONDS,
    cure=f"Use True, False, or a number of seconds up to {LONGEST_DELAY_SECONDS}.",
)
# How long a call may continue after its hard limit. Celery kills the process, but here the limit
# raises an exception in the task, which needs time to stop.
HARD_GRACE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The options of `shared_task`, with Celery's defaults. None means as CELERY_TASK_… says."""

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
    sensitive: Any = ()

    def setting(self, name: str, default: str | None = None) -> Any:
        """Return the value of an option, which defaults to its CELERY_TASK_… setting."""
        value = getattr(self, name)
        return conf.get(f"CELERY_TASK_{default or name.upper()}") if value is None else value


NAMES = frozenset(one.name for one in fields(TaskOptions))


def read(given: Mapping[str, Any]) -> TaskOptions:
    """Return the options of a task. Raises `UnknownOption`, `NotSupported`."""
    for name in given:
        if name in REFUSED:
            raise NotSupported(f"shared_task has no option {name!r} here. {REFUSED[name]}")
        if name not in NAMES and name not in WITHOUT_EFFECT:
            known = f"It has: {', '.join(sorted(NAMES))}."
            cure = did_you_mean(name, (*NAMES, *WITHOUT_EFFECT), known)
            raise UnknownOption(f"@shared_task has no option {name!r}. {cure}")
    return TaskOptions(**{name: value for name, value in given.items() if name in NAMES})


def settings_of(name: str, options: TaskOptions) -> dict[str, Any]:
    """Return the options of the task's definition on this queue. Raises `InvalidDefinition`."""
    routed = route(name)
    queue = options.queue if options.queue is not None else routed.get("queue")
    if queue is None:
        queue = conf.get("CELERY_TASK_DEFAULT_QUEUE")
    priority = options.priority if options.priority is not None else routed.get("priority")
    soft, hard = (limit(name, options, one) for one in ("soft_time_limit", "time_limit"))
    if soft is not None and hard is not None and hard <= soft:
        soft = None  # the hard limit comes first
    grace = {}
    if hard is not None:
        grace["timeout_grace"] = HARD_GRACE_SECONDS if soft is None else hard - soft
    return {
        "queue_name": queue,
        "priority": conf.get("CELERY_TASK_DEFAULT_PRIORITY") if priority is None else priority,
        "timeout": hard if soft is None else soft,
        **grace,
        "rate_limit": rate(name, options.setting("rate_limit", "DEFAULT_RATE_LIMIT")),
        "expires": expiry(options.expires, f"task {name!r}: expires", InvalidDefinition),
        # Celery drops a call that was interrupted while it ran, unless it is acknowledged late.
        "on_interruption": "replace" if options.setting("acks_late") else "hold",
        "sensitive": options.sensitive,
        **retry_settings(name, options, hard_only=soft is None),
    }


def retry_settings(name: str, options: TaskOptions, *, hard_only: bool) -> dict[str, Any]:
    """Return Celery's rules for retries as options of this queue.

    Without back-off the delay is constant: the doubling is capped at its start. A task that hits
    its hard time limit is not retried, as with Celery. The soft limit is an exception like others.
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
    wait = {
        option: seconds(name, option, value)
        for option, value in (
            ("countdown", own["countdown"]),
            ("default_retry_delay", options.default_retry_delay),
            ("retry_backoff_max", options.retry_backoff_max),
        )
    }
    start = BACKOFF.read(options.retry_backoff or 0, f"task {name!r}: retry_backoff")
    backoff = bool(retried and start)
    delay = max(1, int(start)) if backoff else wait["countdown"]
    return {
        "retries": retries_in_all(name, own["max_retries"]),
        "retry_delay": delay,
        "retry_delay_max": wait["retry_backoff_max"] if backoff else delay,
        "retry_jitter": backoff and bool(options.retry_jitter),
        "retry_for": retried,
        "retry_not_for": (*spared, TaskTimeout if hard_only else TaskDidNotStop)
        if retried
        else spared,
    }


def retries_in_all(name: str, limit: Any) -> int:
    """Return a number of retries as a row stores it. None means to retry for ever."""
    if limit is None:
        return FOR_EVER
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidDefinition(
            f"task {name!r}: max_retries cannot be {limit!r}. "
            "Use 0 or more, or None to retry for ever."
        )
    return limit


def rate(name: str, given: Any) -> str | None:
    """Return a rate in this queue's form. A plain number, maybe a fraction, is per second."""
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
    read: tuple[type[BaseException], ...] = TASK_OPTIONS["retry_for"].read(
        () if given is None else given, f"task {name!r}: {option}"
    )
    return read


def limit(name: str, options: TaskOptions, option: str) -> float | None:
    """Return a time limit from the options of the task, or else from the settings."""
    read: float | None = TASK_OPTIONS["timeout"].read(
        options.setting(option), f"task {name!r}: {option}"
    )
    return read


def seconds(name: str, option: str, given: Any) -> int:
    """Return a delay in whole seconds, rounded up, since a row stores whole seconds."""
    number = given.total_seconds() if isinstance(given, timedelta) else given
    return ceil(SECONDS.read(number, f"task {name!r}: {option}"))


def route(name: str) -> Mapping[str, Any]:
    """Return the route of a task: that of the first matching pattern in CELERY_TASK_ROUTES."""
    for pattern, where in route_pairs(conf.get("CELERY_TASK_ROUTES")):
        if pattern.match(name) if hasattr(pattern, "match") else fnmatchcase(name, pattern):
            found = {"queue": where} if isinstance(where, str) else where
            unknown = sorted(set(found).difference(ROUTE_KEYS))
            if unknown:
                raise InvalidDefinition(
                    f"CELERY_TASK_ROUTES has the unknown key {unknown[0]!r} for {pattern!r}. "
                    "Use queue and priority."
                )
            return found
    return {}


def route_pairs(routes: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each pattern with its route, from any of the forms that Celery accepts."""
    for one in routes.items() if isinstance(routes, Mapping) else routes:
        if isinstance(one, Mapping) or _is_list_of_pairs(one):
            yield from route_pairs(one)
        elif isinstance(one, tuple | list) and len(one) == 2:
            yield one[0], one[1]
        else:
            raise NotSupported(
                f"CELERY_TASK_ROUTES has {one!r}. Router functions and classes are not available "
                "here. Use {pattern: {'queue': name}}."
            )


def _is_list_of_pairs(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, list | tuple) for one in value)
