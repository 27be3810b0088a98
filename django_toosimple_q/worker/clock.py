"""The time by the database's clock, whatever this host's clock does between two looks at it."""

import time
from datetime import datetime, timedelta

from django.utils import timezone

from django_toosimple_q import signals
from django_toosimple_q.store import workers

# How far this host's clock may be from the database's until it is told.
TOLERATED = timedelta(seconds=2)


class Clock:
    """Counts on from the last look at the database's clock, by a clock that nobody sets."""

    def __init__(self) -> None:
        self.label = ""
        self.moment: datetime | None = None
        self.looked = 0.0
        self.astray = False

    def look(self) -> None:
        """Read the database's clock, and tell when this host's has gone astray, and when not."""
        moment = workers.clock()
        self.moment, self.looked = moment, time.monotonic()
        off = timezone.now() - moment
        if (abs(off) > TOLERATED) != self.astray:
            self.astray = not self.astray
            signals.clock_set.send_robust(sender=self.label, off=off, astray=self.astray)

    def now(self) -> datetime:
        """Return the time; before the first look, by this host's clock."""
        if self.moment is None:
            return timezone.now()
        # Whole microseconds: of a fraction of seconds timedelta takes twice as long.
        return self.moment + timedelta(microseconds=int((time.monotonic() - self.looked) * 1e6))
