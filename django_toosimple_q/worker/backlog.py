"""Where rows wait for a worker, as of its last query, and how long there can be none."""

import time
from collections.abc import Callable
from datetime import datetime
from math import inf

from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import Bucket

# How old the backlog may be before the next claim reads it again.
FRESH_SECONDS = 0.05


class Backlog:
    """What there is to claim from the queues that a worker takes, and when there will be more."""

    def __init__(self, takes: Callable[[str], bool]) -> None:
        self.takes = takes
        self.buckets: list[Bucket] = []
        # When there will be something to claim that there is not now.
        self.next_moment: datetime | None = None
        self.read_at = -inf

    @property
    def is_fresh(self) -> bool:
        """Return whether it still serves: claims were full since it was read, not long ago."""
        return bool(self.buckets) and time.monotonic() - self.read_at < FRESH_SECONDS

    def read(self, now: datetime) -> None:
        """Read where there are rows to claim, waking those that are due."""
        waiting = task_execs.backlog(now)
        next_due = waiting.next_due
        if next_due is not None and next_due <= now:
            woken = task_execs.wake(now)
            waiting = task_execs.backlog(now)
            # A row that another session has locked is woken by that commit's hint, or by the tick.
            next_due = waiting.next_due if woken else None
        self.buckets = [bucket for bucket in waiting.buckets if self.takes(bucket.queue)]
        moments = [one for one in (next_due, waiting.next_open) if one is not None]
        self.next_moment = min(moments, default=None)
        self.read_at = time.monotonic()

    def mark_empty(self) -> None:
        """Record that a claim got less than it asked for: there is nothing more to claim."""
        self.buckets = []

    def seconds_left(self, now: datetime, schedule: datetime | None) -> float:
        """Return how long there can be nothing to claim; `schedule` is when the next is due."""
        moments = [one for one in (self.next_moment, schedule) if one is not None]
        until = min(((one - now).total_seconds() for one in moments), default=inf)
        return max(0.0, until)
