"""What a task leaves behind ends with it, so that the next one starts clean.

A time zone or a language that it activates goes with the context that it runs in.
"""

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from django.db import DatabaseError, connections
from django.db.backends.signals import connection_created

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


class Within(NamedTuple):
    """How deep a connection is in transactions, and whether it commits by itself."""

    atomic: bool = False
    autocommit: bool = True
    savepoints: int = 0
    blocks: int = 0


OUTSIDE = Within()


class Opened(threading.local):
    """Counts the connections that a thread opens, so that it need not look for new ones."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, **kwargs: Any) -> None:
        self.count += 1


opened = Opened()
connection_created.connect(opened.add, weak=False)


class Boundary:
    """The state between two runs in a thread: taken when made, put back by `restore`.

    Beside other threads the umask cannot be taken; it is given.
    """

    __slots__ = ("connections", "folder", "handlers", "inside", "mask", "opened")

    def __init__(self, mask: int | None = None) -> None:
        self.opened = opened.count
        self.connections = connections.all(initialized_only=True)
        # A worker that drains inside a TestCase is in a transaction already.
        self.inside = {connection.alias: within(connection) for connection in self.connections}
        self.folder = current_folder()
        self.mask = mask
        self.handlers: list[tuple[int, Any]] = []
        if threading.current_thread() is threading.main_thread():
            self.mask = read_umask() if mask is None else mask
            self.handlers = [(number, signal.getsignal(number)) for number in HANDLED]

    def restore(self, *, cut_off: bool = False) -> bool:
        """Put everything back; return whether a transaction was left open, now rolled back.

        A task that was `cut_off` may have been in the middle of a query.
        """
        if self.folder and self.folder != current_folder():
            # It may be gone, as a release is that was deployed over.
            with suppress(OSError):
                os.chdir(self.folder)
        if self.mask is not None:
            os.umask(self.mask)
        for number, handler in self.handlers:
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        return self._close_connections(cut_off)

    def _close_connections(self, cut_off: bool) -> bool:
        """Close what is broken or too old, and what was left in a transaction."""
        if self.opened != opened.count:
            self.opened = opened.count
            self.connections = connections.all(initialized_only=True)
        left_open = False
        for connection in self.connections:
            before = self.inside.get(connection.alias, OUTSIDE)
            if before.atomic:
                left_open = leave_blocks(connection, before) or left_open
            elif connection.in_atomic_block or (before.autocommit and not connection.autocommit):
                left_open = left_open or connection.connection is not None
                forget(connection)
            elif cut_off or connection.errors_occurred or is_aged(connection):
                # Usable or not: a new one costs little, and not every driver can tell.
                forget(connection)
        return left_open


def within(connection: Any) -> Within:
    """Return how deep a connection is in transactions."""
    depth = len(connection.savepoint_ids), len(connection.atomic_blocks)
    return Within(connection.in_atomic_block, commits_itself(connection), *depth)


def leave_blocks(connection: Any, before: Within) -> bool:
    """Leave the blocks that were opened since, in a transaction from before; tell if there were.

    Django would take the end of the outer block for that of the innermost: it would never end.
    """
    opened = connection.savepoint_ids[before.savepoints :]
    if not opened:
        return False
    if opened[0] is not None:
        with suppress(DatabaseError):  # then all of it is rolled back
            connection.savepoint_rollback(opened[0])
    del connection.savepoint_ids[before.savepoints :]
    del connection.atomic_blocks[before.blocks :]
    connection.needs_rollback = False
    return True


def is_aged(connection: Any) -> bool:
    """Tell whether a connection has lived for its CONN_MAX_AGE; 0 is for requests, not workers."""
    aging = connection.settings_dict["CONN_MAX_AGE"] and connection.close_at is not None
    return bool(aging) and time.monotonic() >= connection.close_at


def commits_itself(connection: Any) -> bool:
    """Tell whether a connection is in autocommit mode, or will be once it is made."""
    if connection.connection is None:
        return bool(connection.settings_dict["AUTOCOMMIT"])
    return bool(connection.autocommit)


def drop_connections(*, only_unusable: bool = False) -> None:
    """Close this thread's connections, but for those in a transaction of the caller's."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or connection.in_atomic_block:
            continue
        if not only_unusable or not connection.is_usable():
            forget(connection)


def forget(connection: Any) -> None:
    """Close a connection in the middle of whatever it is in; the database rolls that back."""
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.run_on_commit = []
    try:
        connection.close()
    except DatabaseError:  # the driver has nothing left to close
        connection.connection = None


def current_folder() -> str | None:
    """Return the working directory, or None when it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def read_umask() -> int:
    """Return the umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
