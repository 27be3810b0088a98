"""What a hint is: sent after the commit, at most ten a second from a process, never an error.

A sender that has just sent one stays silent for `QUIET_SECONDS`; a worker that was told of work
therefore goes on looking for `ATTENTIVE_SECONDS`, which is longer. So ten thousand calls a second
cost ten hints, and no call waits for the tick.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction

from django_toosimple_q import conf

logger = logging.getLogger("toosimpleq")

QUIET_SECONDS = 0.1
ATTENTIVE_SECONDS = 0.2
LOOK_EVERY_SECONDS = 0.02

# What a hint is about: rows to claim, or rows that ended and that somebody waits for.
WORK, DONE = "toosimpleq", "toosimpleq_done"

Send = Callable[[Any, str], None]


class Hints:
    """How a worker waits. This one knows nothing but the worker's own wake-up and the tick."""

    # Whether senders keep quiet for a while after a hint, so that more may follow it unheard.
    debounced = False

    def __init__(self, wakeup: Any) -> None:
        self.wakeup = wakeup

    def wait(self, seconds: float) -> bool:
        """Wait; return whether a hint or the worker's own wake-up came before the time was over."""
        woken: bool = self.wakeup.wait(seconds)
        return woken

    def close(self) -> None:
        """Let go of what listening takes."""


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
        # Whether it is quiet is seen when it is sent: a transaction may end long after this.
        if connection.in_atomic_block:
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
        except Exception as error:  # the call is stored: whatever a hint meets is no error of it
            if not self.failing:
                logger.warning("hint not sent, workers find the call at their tick: %s", error)
            self.failing = True
        else:
            self.failing = False


announcer = Announcer()


def announce(connection: Any, send: Send | None) -> None:
    """Tell the workers that there is something new, after the commit; `send` None does nothing."""
    if send is not None:
        announcer.announce(connection, send)


def announce_done(connection: Any, send: Send | None) -> None:
    """Tell those who wait for rows that some have ended, after the commit."""
    if send is not None and conf.get("TOOSIMPLEQ_NOTIFY"):
        transaction.on_commit(
            lambda: announcer.send(connection, send, DONE), using=connection.alias
        )
