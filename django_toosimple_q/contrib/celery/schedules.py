"""`crontab()` and intervals, as expressions for schedules of this queue."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from django_toosimple_q.contrib.celery.exceptions import InvalidOption, NotSupported
from django_toosimple_q.contrib.celery.options import seconds_of
from django_toosimple_q.cron import Cron
from django_toosimple_q.schedule import Schedule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The names of a field's values, from the smallest on. Three letters are enough.
NAMES = {
    "day_of_week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
    "month_of_year": (
        *("jan", "feb", "mar", "apr", "may", "jun"),
        *("jul", "aug", "sep", "oct", "nov", "dec"),
    ),
}
# The first and last value of each field, by Celery's name for the field.
RANGES = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_month": (1, 31),
    "month_of_year": (1, 12),
    "day_of_week": (0, 6),
}


class crontab:
    """Celery's crontab. Each field is a number, a text such as "*/15" or "mon-fri", or a list.

        crontab(minute=30, hour=7, day_of_week="mon-fri")

    `cron` is the equivalent cron expression. Raises `InvalidOption`. Raises `NotSupported` if both
    day_of_month and day_of_week are given: Celery fires when both match, cron when one does.
    """

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise InvalidOption(
                f"crontab has no option {', '.join(kwargs)}. It has: {', '.join(RANGES)}."
            )
        days, weekdays = field("day_of_month", day_of_month), field("day_of_week", day_of_week)
        if days != "*" and weekdays != "*":
            raise NotSupported(
                f"crontab with day_of_month={day_of_month!r} and day_of_week={day_of_week!r} is "
                "not available here. Use one of them, and check the other inside the task."
            )
        fields = field("minute", minute), field("hour", hour), days
        self.cron = " ".join([*fields, field("month_of_year", month_of_year), weekdays])

    def __repr__(self) -> str:
        return f"<crontab: {self.cron}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, crontab) and other.cron == self.cron

    def __hash__(self) -> int:
        return hash(self.cron)


class schedule:
    """Celery's interval. `run_every` is a timedelta or a number of seconds."""

    def __init__(self, run_every: float | timedelta, *args: Any, **kwargs: Any) -> None:
        self.run_every = timedelta(seconds=seconds_of("run_every", run_every))


def solar(*args: Any, **kwargs: Any) -> NoReturn:
    """Not available."""
    raise NotSupported(
        "solar is not available here. Queue the next call at the end of the task, with eta=…."
    )


@dataclass(frozen=True)
class Interval(Cron):
    """Occurrences at equal intervals, counted from 1970 so that all workers agree on them."""

    every: timedelta = timedelta()

    @property
    def manual(self) -> bool:
        return False

    @property
    def interval(self) -> bool:
        return True

    @property
    def suspicious(self) -> str | None:
        return None

    def next(self, after: datetime) -> datetime | None:
        """Return the first occurrence strictly after `after` (aware), in UTC."""
        return EPOCH + ((after - EPOCH) // self.every + 1) * self.every

    def latest(self, before: datetime) -> datetime | None:
        """Return the last occurrence at or before `before` (aware), in UTC."""
        return EPOCH + (before - EPOCH) // self.every * self.every


@dataclass(frozen=True, kw_only=True, eq=False)
class IntervalSchedule(Schedule):
    """A schedule that queues its task at intervals. `cron` is the interval as a text."""

    cron: str = "manual"
    every: timedelta

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every < timedelta(seconds=1) or self.every % timedelta(seconds=1):
            raise self._wrong("schedule", self.every, "Use whole seconds, at least 1.")
        text = f"every {self.every / timedelta(seconds=1):.0f} s"
        object.__setattr__(self, "cron", text)
        object.__setattr__(self, "expression", Interval(text, UTC, every=self.every))


def field(name: str, value: Any) -> str:
    """Return a field of `crontab` in cron's syntax. Raises `InvalidOption`."""
    if isinstance(value, int) and not isinstance(value, bool):
        parts = [str(value)]
    elif isinstance(value, str):
        parts = value.replace(" ", "").split(",")
    elif isinstance(value, Iterable):
        parts = [str(one) for one in value]
    else:
        raise _wrong(name, value)
    try:
        return ",".join(_part(name, part.lower()) for part in parts)
    except ValueError as error:
        raise _wrong(name, value) from error


def _part(name: str, part: str) -> str:
    """Return one entry of a list: a number, a range, either with a step, or a star."""
    body, slash, step = part.partition("/")
    if slash and int(step) < 1:
        raise ValueError(step)
    if body == "*":
        return part
    first, dash, last = body.partition("-")
    start = _number(name, first)
    if not dash:
        return f"{start}{slash}{step}"
    stop = _number(name, last)
    if start <= stop:
        return f"{start}-{stop}{slash}{step}"
    # "fri-mon" wraps around the end of the week.
    smallest, largest = RANGES[name]
    around = [*range(start, largest + 1), *range(smallest, stop + 1)]
    return ",".join(map(str, around[:: int(step or 1)]))


def _number(name: str, text: str) -> int:
    smallest, largest = RANGES[name]
    if text[:3] in NAMES.get(name, ()):
        return smallest + NAMES[name].index(text[:3])
    number = int(text)
    if not smallest <= number <= largest:
        raise ValueError(text)
    return number


def _wrong(name: str, value: Any) -> InvalidOption:
    smallest, largest = RANGES[name]
    return InvalidOption(
        f"crontab: {name} cannot be {value!r}. "
        f'Use numbers from {smallest} to {largest}, as in {smallest}, "{smallest}-5" or "*/2".'
    )
