"""Hints over PostgreSQL: LISTEN and NOTIFY."""

import time
from functools import cache
from typing import Any

from django.db import connections

from django_toosimple_q import signals
from django_toosimple_q.wakeups.hints import WORK, Hints
from django_toosimple_q.wakeups.pipe import Readable

# How often one that shares its connection tries to listen while that fails.
AGAIN_SECONDS = 1.0


def send_hint(connection: Any, channel: str) -> None:
    """Notify in a separate transaction. Inside the caller's, it would serialise the commits.

    With autocommit off, the caller's transaction is the only one, and its commit stays durable.
    """
    # A separate transaction writes nothing, so it need not wait for the disk.
    hurry = "SET_CONFIG('synchronous_commit', 'off', true), " if connection.autocommit else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {hurry}PG_NOTIFY(%s, '')", [channel])


@cache
def warn_of_pooler() -> None:
    """Report once in each process that a pooler prevents hints from arriving."""
    signals.pooler_found.send_robust(sender="postgresql")


class PostgreSQLHints(Hints):
    """Waits on a connection that listens. If it is lost, the next wait opens a new one.

    One that `shares` listens on the thread's own connection, which other queries use in between.

    A pooler that lends a session for each transaction delivers hints to whichever client has the
    session at that moment. Such a pooler reports another process id than the server does.
    """

    debounced = True
    selective = True

    def __init__(
        self, wakeup: Any, alias: str, channel: str = WORK, *, shares: bool = False
    ) -> None:
        super().__init__(wakeup)
        self.shares = shares
        self.alias = alias
        self.channel = channel
        self.connection: Any = None
        # The driver's, while it listens.
        self.raw: Any = None
        self.readable: Any = None
        # When it last tried to listen, by the monotonic clock.
        self.tried = -AGAIN_SECONDS
        # Another query on the connection has met a hint.
        self.met = False
        self.failing = False
        # Behind a pooler, listening never works.
        self.pooled = False

    def wait(self, seconds: float) -> bool:
        if self.connection is not None and self.connection.connection is not self.raw:
            # Another user of it has closed it.
            self.connection = None
        if self.connection is None and not self.pooled and self._may_listen() and self._listen():
            # Hints from before this moment are lost, so check once more before waiting.
            return True
        if self.connection is None:
            return super().wait(seconds)
        if self.met:
            self.met = False
            return True
        ready = self.readable.wait(seconds)
        heard = any(number != self.wakeup.read_end for number in ready)
        if heard:
            self._drain(self.raw)
            self.met = False
        return bool(ready) and (self.wakeup.wait(0) or heard)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _may_listen(self) -> bool:
        """Return whether to try; one that shares waits some thirty times a second."""
        now = time.monotonic()
        if self.shares and now - self.tried < AGAIN_SECONDS:
            return False
        self.tried = now
        return True

    def _listen(self) -> bool:
        """Open the connection that listens, and return whether that succeeded."""
        try:
            opened: Any = connections[self.alias]
            if not self.shares:
                opened = opened.copy()
                # A session that listens must not return to a pool.
                opened.settings_dict["OPTIONS"].pop("pool", None)
            with opened.cursor() as cursor:
                cursor.execute("SELECT PG_BACKEND_PID()")
                self.pooled = cursor.fetchone()[0] != opened.connection.info.backend_pid
                if not self.pooled:
                    cursor.execute(f"LISTEN {self.channel}")
        except Exception as error:  # without hints, the worker still has its tick
            if not self.failing:
                signals.listening_failed.send_robust(sender="postgresql", error=error)
            self.failing = True
            return False
        if self.pooled:
            if not self.shares:
                opened.close()
            warn_of_pooler()
            return False
        if self.failing:
            signals.listening_restored.send_robust(sender="postgresql")
        self.connection, self.raw, self.failing = opened, opened.connection, False
        if self.shares:
            self.raw.add_notify_handler(self._meet)
        self.readable = Readable(opened.connection, self.wakeup.read_end)
        return True

    def _meet(self, hint: Any) -> None:
        self.met = True

    def _drain(self, listening: Any) -> None:
        try:
            if self.shares:
                # psycopg warns of its own way where there is a handler as well.
                listening.pgconn.consume_input()
                while listening.pgconn.notifies():
                    pass
                return
            for _ in listening.notifies(timeout=0):
                pass
        except Exception as error:
            signals.listening_failed.send_robust(sender="postgresql", error=error)
            self.failing = True
            self.close()
