"""Lengths and places of what the dashboard draws, as texts for attributes of SVG. Pure functions.

Places along the x axis are in percent, so that a drawing fills whatever room it has. Nothing here
depends on the language: an attribute of SVG has a decimal point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log10
from typing import Any, NamedTuple

from django_toosimple_q.overview import Interval, TaskFigures, Upcoming

# Durations are drawn on a logarithmic scale between these, in seconds.
SHORTEST, LONGEST = 0.001, 10_000.0
SIZE = 100.0


def percent(value: float) -> str:
    """Return a share as a length of SVG."""
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


class Outline(NamedTuple):
    """One colour of a drawing: its kind, and the path around its bars in a view of 100 by 100."""

    kind: str
    path: str


class Bar(NamedTuple):
    """A place of the throughput, and what is drawn there."""

    x: str
    width: str
    interval: Interval


def bars(intervals: Sequence[Interval]) -> list[Bar]:
    """Return where each interval is drawn."""
    width = 1 / max(len(intervals), 1)
    return [
        Bar(percent(number * width), percent(width * 0.8), one)
        for number, one in enumerate(intervals)
    ]


def throughput(intervals: Sequence[Interval]) -> list[Outline]:
    """Return the drawing of what ended in each interval."""
    kinds = ("done", "retried", "interrupted", "failures")
    return outlines([[(kind, getattr(one.ends, kind)) for kind in kinds] for one in intervals], 0.8)


def outlines(columns: Sequence[Sequence[tuple[str, int]]], filled: float) -> list[Outline]:
    """Return the drawing of columns, each a stack of numbers by kind from the bottom up.

    The highest one fills the height, and each fills this share of its width. There is one outline
    for each kind and not for each number, of which a page has thousands.
    """
    most = max((sum(max(number, 0) for _kind, number in one) for one in columns), default=0)
    width = SIZE / max(len(columns), 1)
    found: dict[str, list[str]] = {}
    for number, column in enumerate(columns):
        bottom = SIZE
        for kind, amount in column:
            if amount > 0:
                high = SIZE * amount / most
                corner = f"M{number * width:.2f} {bottom:.2f}"
                shape = f"{corner}v-{high:.2f}h{width * filled:.2f}v{high:.2f}z"
                found.setdefault(kind, []).append(shape)
                bottom -= high
    return [Outline(kind, "".join(shapes)) for kind, shapes in found.items()]


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
        y = f"{SIZE * (1 - height(seconds)):.1f}"
        # From edge to edge: an interval between two gaps is a stroke and no point.
        lines[-1] += [f"{number * width:.2f},{y}", f"{(number + 1) * width:.2f},{y}"]
    return [" ".join(points) for points in lines if points]


def height(seconds: float) -> float:
    """Return how high a duration is drawn, from 0 to 1."""
    bounded = min(max(seconds, SHORTEST), LONGEST)
    return log10(bounded / SHORTEST) / log10(LONGEST / SHORTEST)


def spark(numbers: Sequence[int]) -> list[Outline]:
    """Return a small drawing of failures."""
    return spark_of([(0, number) for number in numbers])


def spark_of(parts: Sequence[tuple[int, int]]) -> list[Outline]:
    """Return a small drawing of what was done, and above it of what was not."""
    return outlines([[("done", done), ("failures", rest)] for done, rest in parts], 0.75)


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
