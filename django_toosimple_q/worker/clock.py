"""The time by the database's clock, whatever this host's clock does between two readings of it."""

import time
from datetime import datetime, timedelta

from django_toosimple_q import signals
from django_toosimple_q.moments import AHEAD, current_moment
from django_toosimple_q.store import workers
from django_toosimple_q.worker.registration import Registration

# How far this host's clock may be from the database's before it is logged.
TOLERATED = timedelta(seconds=2)
# How far a clock may be ahead before nothing is deleted for its sake.
TRUSTED = timedelta(hours=1)


class Clock:
    """Counts on from the last reading of the database's clock, by the monotonic clock."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.moment: datetime | None = None
        self.read_at = 0.0
        self.off = False

    def synchronize(self) -> bool:
        """Read the database's clock, and tell whether it may have jumped far ahead.

        Reports a jump, when this host's clock goes wrong, and when it is right again.
        """
        expected, moment = self.now() if self.moment else None, workers.clock()
        step = moment - expected if expected else timedelta(0)
        if abs(step) > AHEAD:
            signals.clock_jumped.send_robust(sender=self.registration.label, step=step)
        self.moment, self.read_at = moment, time.monotonic()
        difference = current_moment() - moment
        if (abs(difference) > TOLERATED) != self.off:
            self.off = not self.off
            signals.clock_set.send_robust(
                sender=self.registration.label, difference=difference, off=self.off
            )
        return max(step, -difference) > TRUSTED

    def now(self) -> datetime:
        """Return the time; before the first reading, by this host's clock."""
        if self.moment is None:
            return current_moment()
        # Whole microseconds: of a fraction of seconds timedelta takes twice as long.
        return self.moment + timedelta(microseconds=int((time.monotonic() - self.read_at) * 1e6))
