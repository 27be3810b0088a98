"""What a hint is: sent after the commit, at most ten a second from a process, never an error.

A process that has just sent a hint sends no other for `QUIET_SECONDS`. A worker that gets one
therefore keeps checking for `ATTENTIVE_SECONDS`, which is longer, and once more afterwards, in case
it stood still meanwhile. So ten thousand calls a second cost ten hints, and no call waits for the
tick.
"""

import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any

from django.db import transaction

from django_toosimple_q import conf, signals

QUIET_SECONDS = 0.1
ATTENTIVE_SECONDS = 0.2
CHECK_EVERY_SECONDS = 0.02

# What a hint is about: rows to claim, the end of rows that a caller waits for, or claimed rows that
# were cancelled.
WORK, DONE, CANCELLED = "toosimpleq", "toosimpleq_done", "toosimpleq_cancelled"

Send = Callable[[Any, str], None]


class Hints:
    """How a worker waits. This one ends for the worker's own wake-up and for the tick only."""

    # Whether it tells what a hint is about.
    selective = False
    # Whether senders skip hints right after one, so that rows may follow it without a hint.
    debounced = False

    def __init__(self, wakeup: Any) -> None:
        self.wakeup = wakeup

    def wait(self, seconds: float) -> bool:
        """Wait; return whether a hint or the worker's own wake-up ended it before its time."""
        woken: bool = self.wakeup.wait(seconds)
        return woken

    def close(self) -> None:
        """Free what listening uses."""


class Attention:
    """How long a worker may wait after a hint: rows may follow that have none of their own."""

    def __init__(self) -> None:
        self.until = 0.0

    def renew(self, now: float) -> None:
        """Record a hint; `now` is by the monotonic clock."""
        self.until = now + ATTENTIVE_SECONDS

    def longest_wait(self, now: float) -> float:
        """Return the most seconds to wait, so that no such row is late."""
        if not self.until:
            return inf
        if now < self.until:
            return CHECK_EVERY_SECONDS
        # A process that stood still may have looked before the last such row came: once more.
        self.until = 0.0
        return 0.0


def knows_its_commit(connection: Any) -> bool:
    """Return whether Django calls what is registered for the commit of the present transaction.

    With autocommit off it does not. Then a hint is sent at once, and on PostgreSQL it leaves with
    the caller's commit.
    """
    return bool(connection.in_atomic_block and connection.commit_on_exit)


class Announcer:
    """Sends the hints of this process."""

    def __init__(self) -> None:
        self.sent = -QUIET_SECONDS
        self.lock = threading.Lock()
        self.failing = False

    def announce(self, connection: Any, send: Send) -> None:
        """Send a hint once the caller's transaction has committed."""
        if not conf.get("TOOSIMPLEQ_NOTIFY"):
            return
        # The quiet time is checked when the hint is sent: the transaction may end much later.
        if knows_its_commit(connection):
            self._after_commit(connection, send)
        else:
            self._send(connection, send)

    def _after_commit(self, connection: Any, send: Send) -> None:
        # Once for each transaction, however many calls it makes.
        planned = any(getattr(entry[1], "toosimpleq", False) for entry in connection.run_on_commit)
        if planned:
            return

        def send_then() -> None:
            self._send(connection, send)

        send_then.toosimpleq = True  # type: ignore[attr-defined]
        transaction.on_commit(send_then, using=connection.alias)

    def _send(self, connection: Any, send: Send) -> None:
        with self.lock:
            now = time.monotonic()
            if now - self.sent < QUIET_SECONDS:
                return
            self.sent = now
        self.send(connection, send, WORK)

    def send(self, connection: Any, send: Send, channel: str) -> None:
        """Send a hint now."""
        try:
            send(connection, channel)
        except Exception as error:  # the call is stored, so a hint that fails is no error of it
            if not self.failing:
                signals.hint_failed.send_robust(sender=channel, error=error)
            self.failing = True
        else:
            self.failing = False


announcer = Announcer()


def announce(connection: Any, send: Send | None) -> None:
    """Wake the workers after the commit; does nothing when `send` is None."""
    if send is not None:
        announcer.announce(connection, send)


def announce_now(connection: Any, send: Send | None, channel: str) -> None:
    """Send a hint of its own to those who listen to a channel, after the commit."""
    if send is None or not conf.get("TOOSIMPLEQ_NOTIFY"):
        return
    if knows_its_commit(connection):
        transaction.on_commit(
            lambda: announcer.send(connection, send, channel), using=connection.alias
        )
    else:
        announcer.send(connection, send, channel)
