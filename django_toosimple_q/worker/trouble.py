"""How a worker waits out a database that is out of reach, takes no writes, or does not answer."""

import random
import time

from django.db import connections

from django_toosimple_q import signals
from django_toosimple_q.store.step import is_refusal

SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 10.0
# How often it is told, at most, that the database takes no writes: somebody has to act.
TOLD_EVERY_SECONDS = 60.0
# What a heartbeat may take until it is told: a migration's lock, a failover.
SILENT_SECONDS = 10.0


class Trouble:
    """Tells that the database is lost and that it is back, and how long to wait."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.since: float | None = None
        self.failures = 0
        self.told_refusal = -TOLD_EVERY_SECONDS

    def lost(self, error: Exception) -> float:
        """Take in a failure; return the seconds to wait before the next try."""
        if self.since is None:
            self.since = time.monotonic()
            if not is_refusal(error):
                signals.database_lost.send_robust(sender=self.label, error=error)
        if is_refusal(error) and time.monotonic() - self.told_refusal >= TOLD_EVERY_SECONDS:
            self.told_refusal = time.monotonic()
            signals.database_refused.send_robust(sender=self.label, error=error)
        self.failures += 1
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()
        longest = min(SHORTEST_SECONDS * 2 ** min(self.failures, 10), LONGEST_SECONDS)
        return random.uniform(longest / 2, longest)

    def back(self) -> None:
        """Take in a success."""
        if self.since is not None:
            seconds = time.monotonic() - self.since
            self.since, self.failures = None, 0
            signals.database_back.send_robust(sender=self.label, seconds=seconds)


class Silence:
    """Tells once that the database does not answer, and once that it does again.

    Whoever has asked waits in the driver, so somebody beside has to look.
    """

    def __init__(self) -> None:
        self.label = ""
        self.told: float | None = None

    def look(self, asked: float | None, now: float) -> None:
        """Take in since when an answer is waited for (None: it came), by the monotonic clock."""
        if self.told is None and asked is not None and now - asked > SILENT_SECONDS:
            self.told = asked
            signals.database_silent.send_robust(sender=self.label, seconds=now - asked)
        elif self.told is not None and asked != self.told:
            seconds, self.told = now - self.told, None
            signals.database_back.send_robust(sender=self.label, seconds=seconds)
