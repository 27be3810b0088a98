"""Hints by `PRAGMA data_version`, which another connection's commit changes."""

import time
from typing import Any

from django.db import DatabaseError, connections

from django_toosimple_q.notify.base import WORK, Hints

LOOK_EVERY_SECONDS = 0.05


class SqliteHints(Hints):
    """Waits in short naps; a look costs microseconds and takes no lock. Any commit is a hint."""

    def __init__(self, wakeup: Any, alias: str, channel: str = WORK) -> None:
        super().__init__(wakeup)
        self.alias = alias
        self.version = 0
        self.version = self._version()

    def wait(self, seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while True:
            version = self._version()
            if version != self.version:
                self.version = version
                return True
            left = ends - time.monotonic()
            if left <= 0:
                return False
            if self.wakeup.wait(min(left, LOOK_EVERY_SECONDS)):
                return True

    def _version(self) -> int:
        """Return the number of the newest commit; of a file that is locked, what was known."""
        connection = connections[self.alias]
        try:
            connection.ensure_connection()
            # Twenty times a second: past Django's cursor, which takes ten times as long.
            with connection.wrap_database_errors:
                version: int = connection.connection.execute("PRAGMA data_version").fetchone()[0]
                return version
        except DatabaseError:  # without hints there is the tick, whose look tells of the trouble
            return self.version
