"""Close the connections of threads that tasks have started and that have ended.

Django keeps a connection for each thread. When the thread ends, the garbage collector closes it at
some later time: until then the server counts it.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.signals import connection_created

from django_toosimple_q.worker.platform import CAN_FORK

# How the names of the worker's own threads begin.
OWN = "toosimpleq-"


class ThreadConnections:
    """The connections that threads open while a worker runs, each with its thread.

    The worker's own threads close theirs. When the last worker of a process ends, what is left is
    the garbage collector's again: the process may be one of tests, which drops its database.
    """

    def __init__(self) -> None:
        # By the id of the connection. Each step below is atomic: no lock to be held in a fork.
        self.opened: dict[int, tuple[threading.Thread, Any]] = {}
        self.inherited: list[Any] = []
        self.workers = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Remember the connections of threads while a worker runs in the block."""
        self.workers += 1
        try:
            yield
        finally:
            self.workers -= 1
            if not self.workers:
                self.opened = {}

    def add(self, connection: Any, **kwargs: Any) -> None:
        """Remember a connection that the calling thread has opened."""
        if not self.workers:
            return
        thread = threading.current_thread()
        if thread is not threading.main_thread() and not thread.name.startswith(OWN):
            self.opened[id(connection)] = thread, connection

    def close_ended(self, close: Callable[[Any], None]) -> None:
        """Close those whose thread has ended."""
        if not self.opened:
            return
        for key, (thread, connection) in list(self.opened.items()):
            if not thread.is_alive() and self.opened.pop(key, None) is not None:
                connection.inc_thread_sharing()
                close(connection)

    def leave_to_parent(self) -> None:
        """After a fork: keep what the parent's threads use as it is, and collect none of it."""
        self.inherited.append(self.opened)
        self.opened = {}


thread_connections = ThreadConnections()
connection_created.connect(thread_connections.add, weak=False)
if CAN_FORK:
    os.register_at_fork(after_in_child=thread_connections.leave_to_parent)
