"""What a task leaves behind ends with it, so that the next one starts clean.

A time zone or a language that it activates goes with the context that it runs in.
"""

import os
import signal
import threading
from typing import Any

from django.db import DatabaseError, connections

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


class Boundary:
    """The state between two runs in a thread: taken when made, put back by `restore`.

    Beside other threads the umask cannot be taken; it is given.
    """

    __slots__ = ("folder", "handlers", "inside", "mask")

    def __init__(self, mask: int | None = None) -> None:
        # A worker that drains inside a TestCase is in a transaction already.
        self.inside = {
            connection.alias: (connection.in_atomic_block, commits_itself(connection))
            for connection in connections.all(initialized_only=True)
        }
        self.folder = current_folder()
        self.mask = mask
        self.handlers: list[Any] = []
        if threading.current_thread() is threading.main_thread():
            self.mask = read_umask() if mask is None else mask
            self.handlers = [signal.getsignal(number) for number in HANDLED]

    def restore(self) -> bool:
        """Put everything back; return whether a transaction was left open, now rolled back."""
        if self.folder and current_folder() != self.folder:
            os.chdir(self.folder)
        if self.mask is not None:
            os.umask(self.mask)
        for number, handler in zip(HANDLED, self.handlers, strict=False):
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        return self._close_connections()

    def _close_connections(self) -> bool:
        """Close what is broken, and what was left in a transaction."""
        left_open = False
        for connection in connections.all(initialized_only=True):
            was_atomic, was_autocommit = self.inside.get(connection.alias, (False, True))
            opened = connection.in_atomic_block and not was_atomic
            if opened or (was_autocommit and not connection.autocommit and not was_atomic):
                left_open = left_open or connection.connection is not None
                forget(connection)
            elif connection.errors_occurred and not connection.in_atomic_block:
                # Usable or not: a new one costs little, and not every driver can tell.
                forget(connection)
        return left_open


def commits_itself(connection: Any) -> bool:
    """Tell whether a connection is in autocommit mode, or will be once it is made."""
    if connection.connection is None:
        return bool(connection.settings_dict["AUTOCOMMIT"])
    return bool(connection.autocommit)


def forget(connection: Any) -> None:
    """Close a connection in the middle of whatever it is in; the database rolls that back."""
    connection.in_atomic_block = False
    connection.savepoint_ids = []
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
