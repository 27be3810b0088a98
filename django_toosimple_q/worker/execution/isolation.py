"""What a task leaves behind ends with it, so that the next one starts clean.

A time zone or a language that it activates goes with the context that it runs in.
"""

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self

from django.db import DatabaseError, connections
from django.db.backends.signals import connection_created

from django_toosimple_q.databases import Database, find_database
from django_toosimple_q.databases.base import SESSION
from django_toosimple_q.worker.execution.process_state import ProcessState
from django_toosimple_q.worker.execution.request_state import forget_queries
from django_toosimple_q.worker.execution.thread_connections import thread_connections
from django_toosimple_q.worker.platform import CAN_FORK


class Within(NamedTuple):
    """How deep a connection is in transactions, and whether it commits by itself.

    With autocommit off, `begun` is whether a transaction of the caller's was open.
    """

    atomic: bool = False
    autocommit: bool = True
    begun: bool = False
    savepoints: int = 0
    blocks: int = 0


OUTSIDE = {autocommit: Within(autocommit=autocommit) for autocommit in (True, False)}


class Opened(threading.local):
    """Counts the connections that a thread opens, so that it need not look for new ones.

    While tasks run in the thread, the sessions of those are watched from the start.
    """

    def __init__(self) -> None:
        self.count = 0
        self.watching = False
        # Whether the thread has forked meanwhile. What the child closes is closed here as well.
        self.forked = False

    def note_fork(self) -> None:
        self.forked = self.watching

    def add(self, connection: Any, **kwargs: Any) -> None:
        self.count += 1
        if self.watching:
            watch(connection)


opened = Opened()
connection_created.connect(opened.add, weak=False)
if CAN_FORK:
    os.register_at_fork(after_in_parent=opened.note_fork)


class Equipment(NamedTuple):
    """What code has put around the statements of a connection, which none of them shows."""

    wrappers: tuple[Any, ...] = ()
    debugs: bool = False


BARE = Equipment()
# The attribute of a connection that holds the wrappers that receivers of `connection_created` set.
RECEIVED = "toosimpleq_wrappers"


class Isolation:
    """The state between two runs in a thread: taken when made, put back by `restore`.

    In a `with` block it also notices what code does to the sessions of the thread's connections.
    """

    __slots__ = ("connections", "equipment", "inside", "left_open", "nested", "opened", "process")

    def __init__(self, process: ProcessState | None = None) -> None:
        self.process = process or ProcessState()
        self.opened = -1
        # A task may run a worker itself.
        self.nested = True
        # Whether a transaction was left open since this was last set to False.
        self.left_open = False
        self.connections: list[tuple[Any, Database | None]] = []
        self._find_connections()
        # A worker that drains inside a TestCase is in a transaction already.
        self.inside = {
            connection.alias: within(connection, database)
            for connection, database in self.connections
        }
        self.equipment = {
            connection.alias: Equipment(
                tuple(connection.execute_wrappers), connection.force_debug_cursor
            )
            for connection, _ in self.connections
        }

    def __enter__(self) -> Self:
        self.nested = opened.watching
        if not self.nested:
            opened.watching = True
            for connection, _ in self.connections:
                watch(connection)
        return self

    def __exit__(self, *error: object) -> None:
        if not self.nested:
            opened.watching = False
            self._find_connections()
            for connection, _ in self.connections:
                unwatch(connection)

    def restore(self, *, interrupted: bool = False) -> bool:
        """Put everything back; return whether a transaction was left open, now rolled back.

        A task that was `interrupted` may have been in the middle of a query.
        """
        self.process.put_back()
        thread_connections.close_ended(forget)
        return self.clean_connections(interrupted=interrupted)

    def close_run(self) -> None:
        """Put back what code has done that ran as the exception of a task was forgotten.

        Its frames held objects, and what ends those may be user code.
        """
        if self.left_open:
            self.left_open = False
            end_blocks()
        self.clean_connections()

    def forget_queries(self) -> None:
        """Forget the queries that DEBUG keeps, before the next run."""
        for connection, _ in self.connections:
            if connection.queries_log:
                forget_queries([connection])

    def clean_connections(self, *, interrupted: bool = False) -> bool:
        """Close what is broken, too old or changed, and what was left in a transaction.

        Returns whether a transaction was left open.
        """
        if self.opened != opened.count:
            self._find_connections()
        left_open = False
        forked, opened.forked = opened.forked, False
        for connection, database in self.connections:
            self.put_equipment_back(connection)
            before = self.inside.get(connection.alias)
            if before is None:
                before = OUTSIDE[connection.settings_dict["AUTOCOMMIT"]]
            if before.atomic:
                if len(connection.savepoint_ids) > before.savepoints:
                    left_open = True
                    end_blocks()
                    leave_blocks(connection, before)
                self.release_rows(connection, database)
            elif connection.in_atomic_block or (before.autocommit and not connection.autocommit):
                if connection.connection is not None:
                    left_open = True
                    end_blocks()
                forget(connection)
            elif connection.connection is None:
                continue
            elif before.autocommit and in_transaction(connection, database):
                left_open = True
                forget(connection)
            elif (
                not before.autocommit and not before.begun and in_transaction(connection, database)
            ):
                # With autocommit off a query begins one. What the task did not commit is undone.
                forget(connection)
            elif (
                interrupted
                or forked
                or connection.errors_occurred
                or is_aged(connection)
                or is_changed(connection, database)
            ):
                # Usable or not: a new one costs little, and not every driver can tell.
                forget(connection)
            else:
                self.release_rows(connection, database)
        if left_open:
            self.left_open = True
        return left_open

    def release_rows(self, connection: Any, database: Database | None) -> None:
        """Close cursors whose rows were not read to the end, where they would keep writers out."""
        if database is not None and not self.nested:
            database.close_cursors(connection.connection)

    def put_equipment_back(self, connection: Any) -> None:
        """Take off what was put around the connection's statements since."""
        before: Equipment = self.equipment.get(connection.alias, BARE)
        if connection.execute_wrappers:
            kept = (*before.wrappers, *connection.__dict__.get(RECEIVED, ()))
            connection.execute_wrappers = [
                one for one in connection.execute_wrappers if any(one is other for other in kept)
            ]
        connection.force_debug_cursor = before.debugs

    def _find_connections(self) -> None:
        self.opened = opened.count
        self.connections = [
            (connection, find_database(connection))
            for connection in connections.all(initialized_only=True)
        ]


class LentConnection:
    """The tasks' own connection to the database of the queue, in place of Django's for a while.

    Whatever a task does to its session, the queue's own statements go over another one.
    """

    def __init__(self, own: Any) -> None:
        self.alias = own.alias
        self.own = own
        self.connection = own.copy()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Give the calling thread its own connection again while the block runs."""
        lent = connections[self.alias]
        connections[self.alias] = self.own
        try:
            yield
        finally:
            connections[self.alias] = lent

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Give the calling thread this connection while the block runs."""
        self.own = own = connections[self.alias]
        connections[self.alias] = self.connection
        try:
            yield
        finally:
            self.connection = connections[self.alias]
            connections[self.alias] = own

    def close(self) -> None:
        """Close the connection, when the worker ends."""
        forget(self.connection)


def watch(connection: Any) -> None:
    """Notice from now on what code does to the sessions of a connection.

    What receivers of `connection_created` do to a new session belongs to it as Django opens it.
    """
    database = find_database(connection)
    if database is None:
        return
    if connection.connection is not None:
        setattr(connection, SESSION, database.watch(connection.connection))

    def connect() -> None:
        connection.__dict__.pop(SESSION, None)
        watching, opened.watching = opened.watching, False
        before = list(connection.execute_wrappers)
        try:
            type(connection).connect(connection)
        finally:
            opened.watching = watching
        received = [one for one in connection.execute_wrappers if one not in before]
        if received:
            setattr(connection, RECEIVED, [*connection.__dict__.get(RECEIVED, ()), *received])
        setattr(connection, SESSION, database.watch(connection.connection))

    connection.connect = connect


def unwatch(connection: Any) -> None:
    """Undo what `watch` did."""
    connection.__dict__.pop("connect", None)
    database = find_database(connection)
    if connection.__dict__.pop(SESSION, None) is None or database is None:
        return
    if connection.connection is not None:
        database.unwatch(connection.connection)


def end_blocks() -> None:
    """End the blocks that generators hold in which nobody goes on, and that nothing refers to.

    The garbage collector would end them at any time: in the middle of a transaction of the queue,
    which Django would take for theirs and roll back.
    """
    gc.collect()


def in_transaction(connection: Any, database: Database | None) -> bool:
    """Return whether the server has a transaction open that Django does not know of."""
    try:
        return database is not None and database.in_transaction(connection.connection)
    except Exception:  # the driver's own: it was closed underneath Django
        connection.errors_occurred = True
        return False


def is_changed(connection: Any, database: Database | None) -> bool:
    """Return whether a session might not be as Django opens it."""
    session = connection.__dict__.get(SESSION)
    if database is None or session is None:
        return False
    return session.changed or database.settings(connection.connection) != session.settings


def within(connection: Any, database: Database | None) -> Within:
    """Return how deep a connection is in transactions."""
    depth = len(connection.savepoint_ids), len(connection.atomic_blocks)
    autocommit = commits_itself(connection)
    manual = not autocommit and connection.connection is not None
    begun = manual and in_transaction(connection, database)
    return Within(connection.in_atomic_block, autocommit, begun, *depth)


def leave_blocks(connection: Any, before: Within) -> None:
    """Leave the blocks that were opened since, in a transaction from before.

    Django would take the end of the outer block for that of the innermost: it would never end.
    """
    opened = connection.savepoint_ids[before.savepoints :]
    if not opened:
        return
    if opened[0] is not None:
        with suppress(DatabaseError):  # then all of it is rolled back
            connection.savepoint_rollback(opened[0])
    del connection.savepoint_ids[before.savepoints :]
    del connection.atomic_blocks[before.blocks :]
    connection.needs_rollback = False


def is_aged(connection: Any) -> bool:
    """Return whether a connection is older than its CONN_MAX_AGE; 0 is for requests only."""
    aging = connection.settings_dict["CONN_MAX_AGE"] and connection.close_at is not None
    return bool(aging) and time.monotonic() >= connection.close_at


def commits_itself(connection: Any) -> bool:
    """Return whether a connection is in autocommit mode, or will be once it is made."""
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
    """Close a connection in the middle of whatever it is in; the database rolls that back.

    What was planned for the commit is dropped here. Django would keep it, and run it after a commit
    of the next session.
    """
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.run_on_commit = []
    # What had closed it within a block has left the driver's connection in place.
    connection.closed_in_transaction = False
    database = find_database(connection)
    raw = connection.connection
    if raw is not None and database is not None:
        database.discard(raw)
    try:
        connection.close()
    except DatabaseError:  # the driver has nothing left to close
        connection.connection = None
    if connection.connection is not None and database is not None:
        # SQLite keeps a database in memory open.
        database.reset(raw)
        connection.autocommit = connection.settings_dict["AUTOCOMMIT"]
        if SESSION in connection.__dict__:
            setattr(connection, SESSION, database.watch(raw))
