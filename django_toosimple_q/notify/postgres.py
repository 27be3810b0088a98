"""Hints by LISTEN and NOTIFY."""

from functools import cache
from typing import Any

from django.db import connections

from django_toosimple_q.notify.base import WORK, Hints, logger
from django_toosimple_q.notify.wakeup import Readable


def send(connection: Any, channel: str) -> None:
    """Notify in a transaction of its own: inside the caller's it would serialise the commits.

    With autocommit off there is the caller's alone, whose commit is left as safe as it is.
    """
    # Where nothing is written, there is nothing to wait for the disk for.
    hurry = "SET_CONFIG('synchronous_commit', 'off', true), " if connection.autocommit else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {hurry}PG_NOTIFY(%s, '')", [channel])


@cache
def tell_of_pooler() -> None:
    """Say, once in a process, that there are no hints."""
    logger.warning(
        "a connection pooler stands before the database: hints do not come through it, so workers "
        "look at their tick. Use a short --tick, or set TOOSIMPLEQ_REDIS_URL."
    )


class PostgresHints(Hints):
    """Waits on a connection that listens. One that is lost is opened again at the next wait.

    A pooler that lends a session for each transaction gives hints to whoever has it then. It tells
    other process ids than the server does; without it they are the same.
    """

    debounced = True

    def __init__(self, wakeup: Any, alias: str, channel: str = WORK) -> None:
        super().__init__(wakeup)
        self.alias = alias
        self.channel = channel
        self.connection: Any = None
        self.readable: Any = None
        self.failing = False
        # A pooler stands between us and the server: nothing to listen on, now or later.
        self.pooled = False

    def wait(self, seconds: float) -> bool:
        if self.connection is None and not self.pooled and self._listen():
            # What came before this moment was not heard: look once more, then wait.
            return True
        if self.connection is None:
            return super().wait(seconds)
        ready = self.readable.wait(seconds)
        heard = any(number != self.wakeup.read_end for number in ready)
        if heard:
            self._drain(self.connection.connection)
        return bool(ready) and (self.wakeup.wait(0) or heard)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _listen(self) -> bool:
        """Open the connection that listens; False while there is none to be had."""
        try:
            opened = connections[self.alias].copy()
            # One that listens goes back to nobody.
            opened.settings_dict["OPTIONS"].pop("pool", None)
            with opened.cursor() as cursor:
                cursor.execute("SELECT PG_BACKEND_PID()")
                self.pooled = cursor.fetchone()[0] != opened.connection.info.backend_pid
                if not self.pooled:
                    cursor.execute(f"LISTEN {self.channel}")
        except Exception as error:  # without hints there is the tick
            if not self.failing:
                logger.warning("cannot listen for hints, polling instead: %s", error)
            self.failing = True
            return False
        if self.pooled:
            opened.close()
            tell_of_pooler()
            return False
        if self.failing:
            logger.info("listening for hints again")
        self.connection, self.failing = opened, False
        self.readable = Readable(opened.connection, self.wakeup.read_end)
        return True

    def _drain(self, listening: Any) -> None:
        try:
            for _ in listening.notifies(timeout=0):
                pass
        except Exception as error:
            reason = str(error).strip().split("\n", 1)[0]
            logger.warning("hints lost, polling until they are back: %s", reason)
            self.failing = True
            self.close()
