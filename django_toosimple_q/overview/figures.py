"""The figures over time, from the table of minutes: how many ended, how, and how fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django_toosimple_q.models import Minute
from django_toosimple_q.overview.durations import Durations
from django_toosimple_q.store import minutes
from django_toosimple_q.store.minutes import COLUMNS, FIRST_RUN_BIN, FIRST_WAIT_BIN, Counts

NONE: Counts = [0] * len(COLUMNS)


@dataclass(frozen=True)
class Ends:
    """How many calls ended, and how. A call that is retried ends with each of its attempts."""

    done: int
    failures: int
    retried: int
    interrupted: int
    run: Durations
    wait: Durations

    @property
    def total(self) -> int:
        """Return how many attempts ended."""
        return self.done + self.failures + self.retried + self.interrupted

    @property
    def failure_share(self) -> float:
        """Return which share of the calls failed for good (0 to 1). A retry is no end of a call."""
        calls = self.total - self.retried
        return self.failures / calls if calls else 0.0


@dataclass(frozen=True)
class Interval:
    """What ended between two moments (aware)."""

    begin: datetime
    end: datetime
    ends: Ends


@dataclass(frozen=True)
class TaskFigures:
    """What ended of a task, and the minute in which the last one did.

    `parts` are the numbers that ended in each of some equal parts of the time: done, and not.
    """

    name: str
    last: datetime
    ends: Ends
    parts: Sequence[tuple[int, int]] = ()


def throughput(start: datetime, end: datetime, length: timedelta) -> list[Interval]:
    """Return what ended in each interval between two moments (aware), the empty ones too.

    `length` is in whole minutes. The first interval begins with the minute of `start`. Minutes of
    more than two hours ago are known by the quarter of an hour only.
    """
    first, last, size = _minutes(start, end, length)
    found = minutes.by_interval(first, last, size)
    return [
        Interval(
            begin=minutes.begin_of(begin),
            end=minutes.begin_of(begin + size),
            ends=_ends(found.get(begin, NONE)),
        )
        for begin in range(first, last, size)
    ]


def by_task(
    start: datetime, end: datetime, length: timedelta | None = None, most: int | None = None
) -> list[TaskFigures]:
    """Return what ended of each task between two moments (aware), the most frequent first.

    With `length`, `parts` says how many in each interval. `most` bounds the number of tasks.
    """
    first, last, size = _minutes(start, end, length or (end - start))
    found = minutes.by_task(first, last)
    names = sorted(found, key=lambda name: (-sum(found[name][1][: len(Minute.ENDS)]), name))
    names = names[:most]
    ends = minutes.ends_by_task(first, last, size, names) if length and names else {}
    return [
        TaskFigures(
            name=name,
            last=minutes.begin_of(found[name][0]),
            ends=_ends(found[name][1]),
            parts=[
                (counts[0], sum(counts[1:]))
                for begin in range(first, last, size)
                for counts in [ends.get(name, {}).get(begin, [0, 0])]
            ]
            if length
            else (),
        )
        for name in names
    ]


def by_task_and_queue(start: datetime, end: datetime) -> dict[tuple[str, str], Ends]:
    """Return what ended between two moments (aware), by task and queue."""
    found = minutes.by_task_and_queue(minutes.minute_of(start), minutes.minute_of(end))
    return {key: _ends(counts) for key, counts in found.items()}


def by_queue(start: datetime, end: datetime) -> dict[str, Ends]:
    """Return what ended between two moments (aware), by queue."""
    found = minutes.by_queue(minutes.minute_of(start), minutes.minute_of(end))
    return {name: _ends(counts) for name, counts in found.items()}


def _minutes(start: datetime, end: datetime, length: timedelta) -> tuple[int, int, int]:
    size = max(int(length.total_seconds() // 60), 1)
    return minutes.minute_of(start), minutes.minute_of(end), size


def _ends(counts: Counts) -> Ends:
    whole = [int(count) for count in counts]
    done, failures, retried, interrupted = whole[: len(Minute.ENDS)]
    run_seconds, wait_seconds = counts[len(Minute.ENDS) : FIRST_RUN_BIN]
    return Ends(
        done=done,
        failures=failures,
        retried=retried,
        interrupted=interrupted,
        run=Durations(whole[FIRST_RUN_BIN:FIRST_WAIT_BIN], run_seconds),
        wait=Durations(whole[FIRST_WAIT_BIN:], wait_seconds),
    )
