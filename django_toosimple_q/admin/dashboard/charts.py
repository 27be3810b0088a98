"""Lengths and places of what the dashboard draws, as texts for attributes of SVG. Pure functions.

Places along the x axis are in percent, so that a drawing fills whatever room it has. Nothing here
depends on the language: an attribute of SVG has a decimal point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log10
from typing import Any

from django_toosimple_q.overview import Interval, TaskFigures, Upcoming

# Durations are drawn on a logarithmic scale between these, in seconds.
SHORTEST, LONGEST = 0.001, 10_000.0
HEIGHT = 100.0


def percent(value: float) -> str:
    """Return a share as a length of SVG."""
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


@dataclass(frozen=True)
class Part:
    """One colour of a bar: its kind, top and height."""

    kind: str
    y: str
    height: str


@dataclass(frozen=True)
class Bar:
    """A bar of the throughput: its place, its parts from the bottom up, and what it stands for."""

    x: str
    width: str
    parts: Sequence[Part]
    interval: Interval


def bars(intervals: Sequence[Interval]) -> list[Bar]:
    """Return a stacked bar for each interval; the highest one fills the height."""
    most = max((one.ends.total for one in intervals), default=0)
    width = 1 / max(len(intervals), 1)
    found = []
    for number, one in enumerate(intervals):
        parts, y = [], 1.0
        for kind in ("done", "retried", "interrupted", "failures"):
            height = getattr(one.ends, kind) / most if most else 0
            if height > 0:
                y -= height
                parts.append(Part(kind, percent(y), percent(height)))
        found.append(Bar(percent(number * width), percent(width * 0.8), parts, one))
    return found


def line(intervals: Sequence[Interval], kind: str) -> list[str]:
    """Return the 95th percentile of "run" or "wait" as lines, one for each stretch without gaps.

    They are points of a `polyline` in a view of 100 by 100.
    """
    lines: list[list[str]] = [[]]
    width = 100 / max(len(intervals), 1)
    for number, one in enumerate(intervals):
        seconds = getattr(one.ends, kind).p95
        if seconds is None:
            lines.append([])
            continue
        y = f"{HEIGHT * (1 - height(seconds)):.1f}"
        # From edge to edge: an interval between two gaps is a stroke and no point.
        lines[-1] += [f"{number * width:.2f},{y}", f"{(number + 1) * width:.2f},{y}"]
    return [" ".join(points) for points in lines if points]


def height(seconds: float) -> float:
    """Return how high a duration is drawn, from 0 to 1."""
    bounded = min(max(seconds, SHORTEST), LONGEST)
    return log10(bounded / SHORTEST) / log10(LONGEST / SHORTEST)


def spark(numbers: Sequence[int]) -> list[Any]:
    """Return the bars of a small drawing of numbers: a place and a part each."""
    return spark_of([(0, number) for number in numbers])


def spark_of(parts: Sequence[tuple[int, int]]) -> list[tuple[str, str, list[Part]]]:
    """Return the bars of a small drawing of what was done, and what was not."""
    most = max((sum(one) for one in parts), default=0)
    width = 1 / max(len(parts), 1)
    found = []
    for number, (done, rest) in enumerate(parts):
        if most <= 0 or done + rest <= 0:
            continue
        good, bad = done / most, rest / most
        drawn = [Part("done", percent(1 - good), percent(good))] if good > 0 else []
        drawn += [Part("failures", percent(1 - good - bad), percent(bad))] if bad > 0 else []
        found.append((percent(number * width), percent(width * 0.75), drawn))
    return found


@dataclass(frozen=True)
class Mark:
    """An occurrence on the time line, at a place."""

    x: str
    moment: datetime


def marks(one: Upcoming, now: datetime, until: datetime) -> list[Mark]:
    """Return the occurrences of a schedule between two moments."""
    length = (until - now).total_seconds()
    return [
        Mark(f"{1 + 98 * (moment - now).total_seconds() / length:.2f}%", moment)
        for moment in one.occurrences
    ]


SORTED: dict[str, Any] = {
    "name": lambda one: one.name,
    "runs": lambda one: one.ends.total,
    "failures": lambda one: one.ends.failure_share,
    "run": lambda one: one.ends.run.p95 or 0,
    "wait": lambda one: one.ends.wait.p95 or 0,
    "last": lambda one: one.last,
}


def ordered(tasks: Sequence[TaskFigures], by: str) -> list[TaskFigures]:
    """Return tasks in an order: a name of `SORTED`, with "-" before it the largest first."""
    key = SORTED.get(by.removeprefix("-"), SORTED["runs"])
    return sorted(tasks, key=key, reverse=by.startswith("-"))
