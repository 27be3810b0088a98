"""Medians, ratios within a round, percentiles, and the best queue of a kind."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

# The queues that keep their tasks in the site's database.
DATABASE_BACKED = (
    "toosimpleq-1",
    "tasks-db",
    "taskq",
    "dj-queue",
    "dj-queue-3-threads",
    "steady-queue",
    "steady-queue-3-threads",
    "procrastinate",
    "procrastinate-plain",
    "django-q2",
    "huey-database",
)
CELERY = ("celery", "celery-late", "celery-solo")

Found = dict[str, dict[str, Any]]


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is not exceeded by this share of the values."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def measured(found: Found, names: Iterable[str]) -> list[str]:
    """Return the queues that drained in every round."""
    return [
        name
        for name in names
        if found.get(name, {}).get("drained") and "problem" not in found[name]
    ]


def best(found: Found, names: Iterable[str]) -> str | None:
    """Return the fastest of these queues, or None if none was measured."""
    able = measured(found, names)
    return max(able, key=lambda name: statistics.median(found[name]["drained"]), default=None)
