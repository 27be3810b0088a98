"""CELERY_BEAT_SCHEDULE as schedules of this queue."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django_toosimple_q.contrib.celery import canvas, conf, options
from django_toosimple_q.contrib.celery.exceptions import InvalidOption, NotSupported
from django_toosimple_q.contrib.celery.schedules import IntervalSchedule, crontab, schedule
from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule

KEYS = ("task", "schedule", "args", "kwargs", "options", "relative")

# What is wrong with an entry, by its name: system checks tell of it, and the others still run.
problems: dict[str, ToosimpleQError] = {}


def register(entries: Any) -> None:
    """Register a schedule for each entry, and keep in `problems` what is wrong with one."""
    problems.clear()
    if not isinstance(entries, Mapping):
        problems[""] = InvalidOption(f"it is {entries!r}. Use a dict of entries by their names.")
        return
    for name, entry in entries.items():
        try:
            schedules_registry.register(schedule_of(name, entry))
        except ToosimpleQError as error:
            problems[name] = error


def schedule_of(name: str, entry: Any) -> Schedule:
    """Return an entry as a schedule.

    Raises `InvalidOption`, `NotRegistered`, `NotSupported`, and what `Schedule` raises.
    """
    if not isinstance(entry, Mapping):
        raise InvalidOption(f"it is {entry!r}. Use a dict with task and schedule.")
    for key in entry:
        if key not in KEYS:
            close = get_close_matches(key, KEYS, n=1)
            cure = f"Did you mean {close[0]!r}?" if close else f"It takes: {', '.join(KEYS)}."
            raise InvalidOption(f"it has the key {key!r}, which means nothing. {cure}")
    call = options.read(_typed(entry, "options", Mapping, {}))
    if call.due is not None:
        raise NotSupported("it has countdown or eta, but the schedule says when. Remove them.")
    task = canvas.find(str(_given(entry, "task"))).task
    if call.changes:
        task = replace(task, **call.changes)
    common = {
        "task": task,
        "name": name,
        "queue_name": task.queue_name,
        "args": tuple(_typed(entry, "args", list | tuple, ())),
        "kwargs": _typed(entry, "kwargs", Mapping, {}),
        "timezone": conf.get("CELERY_TIMEZONE"),
    }
    when = _given(entry, "schedule")
    if isinstance(when, crontab):
        return Schedule(cron=when.cron, **common)
    if isinstance(when, schedule):
        return IntervalSchedule(every=when.run_every, **common)
    if isinstance(when, timedelta | int | float):
        every = timedelta(seconds=options.seconds_of("schedule", when))
        return IntervalSchedule(every=every, **common)
    kind = f"{type(when).__module__}.{type(when).__qualname__}"
    raise InvalidOption(
        f"its schedule is {when!r} ({kind}). Use a timedelta, a number of seconds, or crontab() "
        "from django_toosimple_q.contrib.celery.schedules."
    )


def _given(entry: Mapping[str, Any], key: str) -> Any:
    if entry.get(key) in (None, ""):
        raise InvalidOption(f"it has no {key!r}. Add one.")
    return entry[key]


def _typed(entry: Mapping[str, Any], key: str, kind: Any, default: Any) -> Any:
    value = entry.get(key) or default
    if not isinstance(value, kind):
        what = "dict" if kind is Mapping else "list or tuple"
        raise InvalidOption(f"its {key} is {value!r}. Use a {what}.")
    return value
