"""Break a connection by seed: before a statement or after it, by a deadlock, around a commit."""

import os
import random
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import OperationalError

KINDS = ("lost before", "lost after", "deadlock")
LOST_BEFORE, LOST_AFTER = "commit lost before", "commit lost after"
COMMIT_KINDS = (LOST_BEFORE, LOST_AFTER)
# How long a database that was lost stays away, in statements.
AWAY = (0, 0, 1, 3)


class Faults:
    """Fails a share of what goes over one connection; which share and how, the seed decides."""

    def __init__(self, connection: Any, seed: int, share: float) -> None:
        self.connection = connection
        self.random = random.Random(seed)
        self.share = share
        self.active = False
        # How many statements the database goes on to be out of reach for.
        self.away = 0
        self.happened: Counter[str] = Counter()
        # What the next commits meet, and how long it lasts, whatever chance says.
        self.commits: list[tuple[str, int]] = []

    @contextmanager
    def installed(self) -> Iterator["Faults"]:
        """Stand between the connection and its driver while the block runs."""
        commit = self.connection._commit
        self.connection._commit = lambda: self._commit(commit)
        try:
            with self.connection.execute_wrapper(self._execute):
                yield self
        finally:
            del self.connection._commit

    @contextmanager
    def blowing(self) -> Iterator[None]:
        """Let faults happen while the block runs."""
        self.active = True
        try:
            yield
        finally:
            self.active = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let none happen while the block runs."""
        before, self.active = self.active, False
        # A hint that was lost is no error, so it may have left a dead line.
        self.connection.close()
        try:
            yield
        finally:
            self.active = before

    def _execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        kind = self._choose(KINDS)
        if kind == "lost before":
            self._lose()
        if kind == "deadlock":
            raise deadlock(self.connection.vendor)
        returned = execute(sql, params, many, context)
        if kind == "lost after":
            context["cursor"].close()
            self._lose()
        return returned

    def _commit(self, commit: Any) -> None:
        kind = self._choose(COMMIT_KINDS)
        if self.commits:
            kind, self.away = self.commits.pop(0)
        if kind == LOST_BEFORE:
            self._lose()
        commit()
        if kind == LOST_AFTER:
            self._lose()

    def _choose(self, kinds: tuple[str, ...]) -> str | None:
        if not self.active:
            return None
        if self.away:
            self.away -= 1
            self.happened["still away"] += 1
            return kinds[0]
        if self.random.random() >= self.share:
            return None
        kind = self.random.choice(kinds)
        self.happened[kind] += 1
        return kind

    def _lose(self) -> None:
        """Cut the line to the database, which rolls back what was under way."""
        raw = self.connection.connection
        if raw is not None:
            cut(self.connection.vendor, raw)
        if self.active and self.share and not self.away:
            self.away = self.random.choice(AWAY)
        raise OperationalError("the connection was lost (injected)")


def cut(vendor: str, raw: Any) -> None:
    """End a driver's connection underneath it, as far as it is not ended already."""
    if vendor == "sqlite":
        # There is no line to a file: what fails is the disk.
        raw.rollback()
        return
    number = raw.fileno() if vendor == "mysql" else raw.pgconn.socket
    with suppress(OSError), socket.socket(fileno=os.dup(number)) as line:
        line.shutdown(socket.SHUT_RDWR)


def deadlock(vendor: str) -> OperationalError:
    """Return the error by which a database tells that a transaction has to be repeated."""
    if vendor == "mysql":
        return OperationalError(1213, "Deadlock found (injected)")
    if vendor == "sqlite":
        return OperationalError("database is locked (injected)")
    from psycopg.errors import DeadlockDetected

    error = OperationalError("deadlock detected (injected)")
    error.__cause__ = DeadlockDetected()
    return error
