"""How a worker waits for a database that is out of reach, refuses writes, or does not answer."""

import random
import time

from django.db import connections

from django_toosimple_q import signals
from django_toosimple_q.store.transaction import LOCK_SECONDS, is_refusal
from django_toosimple_q.throttle import Throttle

SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 10.0
# How often to log, at most, that the database refuses all writes: a person has to act.
LOGGED_EVERY_SECONDS = 60.0
# How long a heartbeat may take before it is logged: a migration's lock, a failover.
UNRESPONSIVE_SECONDS = 10.0


class Outage:
    """Reports that the database is lost and that it is back, and says how long to wait."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.failures = 0
        self.refusals = Throttle(LOGGED_EVERY_SECONDS)

    def lost(self, error: Exception, label: str) -> float:
        """Record a failure of the worker `label`; return the seconds to wait before a retry."""
        refused = is_refusal(error)
        if self.since is None:
            self.since = time.monotonic()
            if not refused:
                signals.database_lost.send_robust(sender=label, error=error)
        if refused and self.refusals.passes(time.monotonic()):
            signals.database_refused.send_robust(sender=label, error=error)
        self.failures += 1
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()
        longest = min(SHORTEST_SECONDS * 2 ** min(self.failures, 10), LONGEST_SECONDS)
        return random.uniform(longest / 2, longest)

    def back(self, label: str) -> None:
        """Record a success."""
        if self.since is not None:
            seconds = time.monotonic() - self.since
            self.since, self.failures = None, 0
            signals.database_back.send_robust(sender=label, seconds=seconds)


class Unresponsive:
    """Reports once that the database does not answer, and once that it does again.

    The thread that asked waits in the driver, so another thread has to check.
    """

    def __init__(self) -> None:
        self.reported: float | None = None

    def check(self, asked: float | None, now: float, label: str) -> None:
        """Check since when an answer is waited for (None: it came), by the monotonic clock."""
        if self.reported is None and asked is not None and now - asked > UNRESPONSIVE_SECONDS:
            self.reported = asked
            signals.database_unresponsive.send_robust(sender=label, seconds=now - asked)
        elif self.reported is not None and asked != self.reported:
            seconds, self.reported = now - self.reported, None
            signals.database_back.send_robust(sender=label, seconds=seconds)


class Silence:
    """Knows when the heartbeat went unanswered for so long that others may declare us dead.

    All moments are of the monotonic clock. What counts is when the last answered heartbeat was
    sent: the database had it then at the earliest. A process that was paused gets a beat's time for
    its first question. While the server answers other questions, or refuses sessions, nobody else
    gets past the lock that holds the heartbeat up, or into the server that is down.
    """

    def __init__(self, timeout: float, beat: float) -> None:
        self.timeout = timeout
        self.beat = beat
        self.heard_at = time.monotonic()
        self.latest = self.heard_at
        # When the first question since the last answer was asked, None while none is open.
        self.asked_at: float | None = None
        # A lock that keeps the heartbeat out ends its wait before that.
        self.least_patience = max(2 * beat, LOCK_SECONDS + beat)
        self.patience = self.least_patience

    def ask(self, now: float) -> None:
        """Record that a heartbeat is sent."""
        self.latest = now
        if self.asked_at is None:
            self.asked_at = now

    def answer(self, now: float) -> float | None:
        """Record an answer; return since when one was waited for, if that was long."""
        asked, self.asked_at = self.asked_at, None
        self.heard_at, self.patience = max(self.heard_at, self.latest), self.least_patience
        return asked if asked is not None and now - asked > self.beat else None

    def reach(self, now: float) -> None:
        """Record that the server answered anything, or said that it is down."""
        self.heard_at = max(self.heard_at, now)

    def is_late(self, now: float) -> bool:
        """Return whether an answer is waited for longer than usual."""
        return self.asked_at is not None and now - self.asked_at > self.beat / 2

    def is_over(self, now: float) -> bool:
        """Return whether others may have declared this worker dead by now."""
        if self.asked_at is None:
            return False
        return now - self.heard_at >= self.timeout and now - self.asked_at >= self.beat

    def gives_up(self, acting_since: float | None, now: float) -> bool:
        """Return whether a heartbeat that is being sent should be sent anew on another session.

        TCP repeats what was lost after twice as long each time. A server that is slow gets twice as
        long at each question as at the one before.
        """
        if acting_since is None or now - acting_since < self.patience:
            return False
        self.patience *= 2
        return True
