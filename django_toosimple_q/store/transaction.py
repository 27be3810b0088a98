"""Run store functions in a transaction, and repeat them when the database asks for it."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.db import DatabaseError, DataError, IntegrityError, connections, router, transaction

from django_toosimple_q import signals
from django_toosimple_q.databases import Bounds, Database, database_of
from django_toosimple_q.exceptions import AutocommitOff, NotMigrated
from django_toosimple_q.execution import running
from django_toosimple_q.models import TaskExec
from django_toosimple_q.throttle import Throttle

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 10
# When to log that we keep repeating: after 3 failures for lock conflicts; after 10 s on SQLite,
# where waiting for the file is normal.
LOGGED_AFTER_FAILURES = 3
LOGGED_AFTER_SECONDS = 10.0
# How long a worker waits for a lock: longer than PostgreSQL takes to notice a deadlock (1 s). And
# how long the server waits at most for a client that stands still in a transaction, since others
# need what it has locked.
LOCK_SECONDS = 2.0
IDLE_SECONDS = 10.0
# A row that stays locked for an hour is reported once a minute.
LOCKED_LOGGED_EVERY_SECONDS = 60.0


class Patience:
    """The bounds of this process's transactions, and how often a lock is reported.

    renews: whether what fails is repeated once on a new connection. The sessions of a site are not
    ours to close.
    """

    def __init__(self) -> None:
        self.idle = IDLE_SECONDS
        self.renews = False
        self.lock_reports = Throttle(LOCKED_LOGGED_EVERY_SECONDS)


patience = Patience()


def keep_within(timeout_seconds: float) -> None:
    """Let this process be a worker's, from now on.

    Its locks fall within its timeout, should it stand still. What fails is repeated once on a new
    connection.
    """
    patience.idle = min(timeout_seconds, IDLE_SECONDS)
    patience.renews = True


def queue_connection() -> Any:
    """Return this thread's connection to the database that holds the queue."""
    return connections[router.db_for_write(TaskExec)]


def in_callers_transaction() -> bool:
    """Return whether it is up to the caller when what this thread writes is committed.

    So it is inside `atomic()`, and everywhere with autocommit off.
    """
    connection = queue_connection()
    if connection.connection is None:
        return connection.in_atomic_block or not connection.settings_dict["AUTOCOMMIT"]
    return connection.in_atomic_block or not connection.autocommit


def is_uncommitted() -> bool:
    """Return whether a transaction of the caller's is open in this thread."""
    connection = queue_connection()
    if connection.in_atomic_block or connection.connection is None:
        return bool(connection.in_atomic_block)
    return database_of(connection).in_transaction(connection.connection)


def is_hidden() -> bool:
    """Return whether nobody else sees what this thread writes to the queue.

    It is in a transaction of the caller's, or the database is in the memory of this process.
    """
    connection = queue_connection()
    return in_callers_transaction() or database_of(connection).is_private(connection)


def require_autocommit() -> None:
    """Raise `AutocommitOff` where DATABASES says that the queue's database is not to commit."""
    connection = queue_connection()
    if not connection.settings_dict["AUTOCOMMIT"]:
        raise AutocommitOff(
            f"DATABASES[{connection.alias!r}] has AUTOCOMMIT = False, so nothing that a worker "
            "writes would be committed. Remove it from the settings that the worker runs with; "
            "processes that only queue calls may keep it, and commit them."
        )


def queue_database() -> Database:
    """Return what knows the SQL and the wake-ups of the database that holds the queue."""
    return database_of(queue_connection())


def in_transaction(
    function: Callable[Concatenate[Any, P], R],
) -> Callable[P, R]:
    """Run a function, given the connection, as one transaction.

    Deadlocks, serialization failures and lock timeouts repeat it. Inside a transaction of the
    caller it becomes part of that one, and the caller gets such an error: the database has rolled
    back the whole transaction already.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        connection = queue_connection()
        if connection.in_atomic_block:
            return function(connection, *args, **kwargs)
        return _run(connection, None, lambda: function(connection, *args, **kwargs))

    return run


def in_bounded_transaction(
    function: Callable[Concatenate[Any, P], R],
) -> Callable[P, R]:
    """Run a function as `in_transaction` does, but wait for no lock longer than LOCK_SECONDS.

    For what workers do: an error for which `is_locked` is true leaves it to them to go on with
    what is not locked. Inside a transaction of the caller it is a savepoint, so that no error
    leaves anything behind.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        connection = queue_connection()
        if connection.in_atomic_block:
            with transaction.atomic(using=connection.alias):
                return function(connection, *args, **kwargs)
        return _run(connection, LOCK_SECONDS, lambda: function(connection, *args, **kwargs))

    return run


def _run(connection: Any, lock_seconds: float | None, function: Callable[[], R]) -> R:
    """Run a function in a transaction of its own, and repeat that as `in_transaction` does."""
    database = database_of(connection)
    bounds = Bounds(lock_seconds, patience.idle)

    def attempt() -> R:
        with database.transaction(connection, bounds):
            return function()

    return repeat(attempt, connection, past_locks=lock_seconds is None)


def in_autocommit(
    function: Callable[Concatenate[Any, P], R],
) -> Callable[P, R]:
    """Run a function that makes a single statement, without the cost of a transaction around it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        connection = queue_connection()
        if connection.in_atomic_block:
            return function(connection, *args, **kwargs)
        return repeat(lambda: function(connection, *args, **kwargs), connection)

    return run


def is_locked(error: BaseException) -> bool:
    """Return whether another session has held a lock for longer than we wait for it."""
    return queue_database().is_locked(error)


@contextmanager
def passing_over_locks() -> Iterator[None]:
    """End the block where it meets a lock that another session holds for long."""
    try:
        yield
    except DatabaseError as error:
        if not is_locked(error):
            raise


def is_lost(error: BaseException) -> bool:
    """Return whether the database is out of reach or refuses all writes, so that waiting helps."""
    return queue_database().is_lost(error)


def is_refusal(error: BaseException) -> bool:
    """Return whether the database answers but refuses all writes."""
    return queue_database().is_refusal(error)


def is_refused(error: BaseException) -> bool:
    """Return whether the server, or its host, has answered that no session can be had."""
    return queue_database().is_refused(error)


def refuse_unmigrated(error: DatabaseError) -> None:
    """Raise `NotMigrated` in place of an error about a table or column that is missing."""
    if queue_database().is_unmigrated(error):
        raise NotMigrated(
            f"the database {queue_connection().alias!r} does not have the queue's tables as this "
            f"code needs them: {str(error).splitlines()[0]}. Run `manage.py migrate` first."
        ) from error


def abort(connection: Any) -> None:
    """End another thread's transaction where it blocks every writer.

    `connection` is that thread's own, or None. The thread cannot use it afterwards.
    """
    if connection is not None and connection.connection is not None:
        database_of(connection).abort(connection)


def hang_up(connection: Any) -> None:
    """Break another thread's session, so that its wait for an answer ends with an error.

    `connection` is that thread's own, or None.
    """
    if connection is not None and connection.connection is not None:
        database_of(connection).hang_up(connection)


def repeat(attempt: Callable[[], R], connection: Any, *, past_locks: bool = True) -> R:
    """Return what `attempt` returns; try again while its error is a passing one.

    With `past_locks` that another session holds a lock is one of those. In a worker any other error
    counts only if it comes again on a new connection: a session may have statements prepared that
    no longer fit the tables, or be in a state that no driver notices.
    """
    database = database_of(connection)
    renewed = False
    began = time.monotonic()
    failures = 0
    logged = False
    while True:
        try:
            return attempt()
        except DatabaseError as error:
            failures += 1
            seconds = time.monotonic() - began
            if not past_locks and database.is_locked(error):
                _report_locked(database, error, failures, seconds)
                raise
            if not renewed and _is_renewed_after(error, database):
                renewed = True
                connection.close()
                continue
            patient = seconds < database.patience_seconds
            if not database.is_transient(error) or (failures >= ATTEMPTS and not patient):
                raise
            late = seconds >= LOGGED_AFTER_SECONDS if patient else failures >= LOGGED_AFTER_FAILURES
            if late and not logged:
                logged = True
                signals.database_busy.send_robust(
                    sender=database.family, error=error, failures=failures, seconds=seconds
                )
            time.sleep(random.uniform(0, min(0.01 * 2**failures, 1)))


def _is_renewed_after(error: DatabaseError, database: Database) -> bool:
    """Return whether another session may do better: not where a value is at fault.

    A database that is lost is waited for. The session that a task uses is the task's.
    """
    if not patience.renews or running.get() is not None:
        return False
    return not (isinstance(error, DataError | IntegrityError) or database.is_lost(error))


def _report_locked(database: Database, error: DatabaseError, failures: int, seconds: float) -> None:
    if patience.lock_reports.passes(time.monotonic()):
        signals.database_busy.send_robust(
            sender=database.family, error=error, failures=failures, seconds=seconds
        )


def adapt(connection: Any, moment: Any) -> Any:
    """Return a datetime as raw SQL on this connection takes it."""
    return None if moment is None else database_of(connection).adapt(moment)
