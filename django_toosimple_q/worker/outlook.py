"""Where rows wait for a worker, as of its last look, and how long there can be none."""

import time
from collections.abc import Callable
from datetime import datetime
from math import inf

from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import Place
from django_toosimple_q.worker.scheduler import aware

# How old a look at the waiting queues may be before the next claim looks again.
LOOK_SECONDS = 0.05


class Outlook:
    """What there is to claim from the queues that a worker takes, and when there will be more."""

    def __init__(self, takes: Callable[[str], bool]) -> None:
        self.takes = takes
        self.places: list[Place] = []
        # When there will be something to claim that there is not now.
        self.next_moment: datetime | None = None
        self.looked = -inf

    @property
    def is_fresh(self) -> bool:
        """Tell whether the last look still serves: claims were full since, and it is not old."""
        return bool(self.places) and time.monotonic() - self.looked < LOOK_SECONDS

    def look(self, now: datetime) -> None:
        """Learn where there are rows to claim, waking those that are due."""
        waiting = task_execs.look(now)
        next_due = waiting.next_due
        if next_due is not None and next_due <= now:
            woken = task_execs.wake(now)
            waiting = task_execs.look(now)
            # One that somebody has locked is woken by their commit's hint, or at the next tick.
            next_due = waiting.next_due if woken else None
        self.places = [place for place in waiting.places if self.takes(place.queue)]
        moments = [one for one in (next_due, waiting.next_open) if one is not None]
        self.next_moment = min(moments, default=None)
        self.looked = time.monotonic()

    def exhaust(self) -> None:
        """Take in that a claim got less than it asked for: there is nothing more to claim."""
        self.places = []

    def seconds_left(self, now: datetime, schedule: datetime | None) -> float:
        """Return how long there can be nothing to claim; `schedule` is when the next is due."""
        moments = [aware(one) for one in (self.next_moment, schedule) if one is not None]
        until = min(((one - aware(now)).total_seconds() for one in moments), default=inf)
        return max(0.0, until)
