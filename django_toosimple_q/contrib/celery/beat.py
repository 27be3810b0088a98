"""Read CELERY_BEAT_SCHEDULE into schedules of this queue."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django_toosimple_q.contrib.celery import canvas, conf, options
from django_toosimple_q.contrib.celery.exceptions import InvalidOption, NotSupported
from django_toosimple_q.contrib.celery.schedules import IntervalSchedule, crontab, schedule
from django_toosimple_q.exceptions import ToosimpleQError, did_you_mean
from django_toosimple_q.masking import MASK
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule

KEYS = ("task", "schedule", "args", "kwargs", "options", "relative")

# The problems of entries, by name. System checks report them, and the other entries still run.
problems: dict[str, ToosimpleQError] = {}


def register(entries: Any) -> None:
    """Register a schedule for each entry, and record invalid entries in `problems`."""
    problems.clear()
    if not isinstance(entries, Mapping):
        problems[""] = InvalidOption(f"it is {entries!r}. Use a dict of names to entries.")
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
        raise InvalidOption(f'it is {entry!r}. Use a dict with "task" and "schedule".')
    for key in entry:
        if key not in KEYS:
            cure = did_you_mean(key, KEYS, f"It takes: {', '.join(KEYS)}.")
            raise InvalidOption(f"it has the unknown key {key!r}. {cure}")
    call = options.read(_typed(entry, "options", Mapping, {}))
    if call.due is not None:
        raise NotSupported("it has countdown or eta, but its schedule sets the time. Remove them.")
    task = canvas.find(str(_given(entry, "task"))).task
    if call.changes:
        task = replace(task, **call.changes)
    common = {
        "task": task,
        "name": name,
        "queue_name": task.queue_name,
        "args": tuple(_typed(entry, "args", list | tuple, (), task.sensitive)),
        "kwargs": _typed(entry, "kwargs", Mapping, {}, task.sensitive),
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


def _typed(entry: Mapping[str, Any], key: str, kind: Any, default: Any, sensitive: Any = ()) -> Any:
    value = entry.get(key) or default
    if not isinstance(value, kind):
        what = "dict" if kind is Mapping else "list or tuple"
        raise InvalidOption(f"its {key} is {MASK if sensitive else value!r}. Use a {what}.")
    return value
