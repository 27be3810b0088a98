"""How a worker waits out a database that is out of reach."""

import random
import time

from django.db import connections

from django_toosimple_q import signals

SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 10.0


class Trouble:
    """Tells once that the database is lost and once that it is back, and how long to wait."""

    def __init__(self) -> None:
        self.label = ""
        self.since: float | None = None
        self.failures = 0

    def lost(self, error: Exception) -> float:
        """Take in a failure; return the seconds to wait before the next try."""
        if self.since is None:
            self.since = time.monotonic()
            signals.database_lost.send_robust(sender=self.label, error=error)
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
