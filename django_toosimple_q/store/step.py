"""One transaction step: begun for writing, repeated when the database says that it must be."""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.db import DatabaseError, connections, router

from django_toosimple_q import signals
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.dialect import Dialect, dialect_of

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 10
# When it is told that a step has to be repeated: where locks are asked for again and again, by
# their number, where a busy file may take its time, by the time.
TOLD_AFTER_FAILURES = 3
TOLD_AFTER_SECONDS = 10.0


def queue_connection() -> Any:
    """Return this thread's connection to the database that holds the queue."""
    return connections[router.db_for_write(TaskExec)]


def queue_family() -> str:
    """Return the kind of database that holds the queue, as the dialect names it."""
    return dialect_of(queue_connection()).family


def step(
    function: Callable[Concatenate[Any, P], R],
) -> Callable[P, R]:
    """Run a function, given the connection, as one transaction.

    Deadlocks, serialization failures and lock timeouts repeat it. Inside a transaction of the
    caller it runs as a part of that, and such an error is the caller's: the database has rolled
    back all of it already.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        connection = queue_connection()
        if connection.in_atomic_block:
            return function(connection, *args, **kwargs)

        dialect = dialect_of(connection)

        def attempt() -> R:
            with dialect.transaction(connection):
                return function(connection, *args, **kwargs)

        return repeat(attempt, dialect)

    return run


def statement(
    function: Callable[Concatenate[Any, P], R],
) -> Callable[P, R]:
    """Run a function that makes a single statement, without the cost of a transaction around it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        connection = queue_connection()
        if connection.in_atomic_block:
            return function(connection, *args, **kwargs)
        return repeat(lambda: function(connection, *args, **kwargs), dialect_of(connection))

    return run


def is_lost(error: BaseException) -> bool:
    """Tell whether the database is out of reach, or takes no writes, so that waiting helps."""
    return dialect_of(queue_connection()).is_lost(error)


def is_refusal(error: BaseException) -> bool:
    """Tell whether the database answers and takes no writes from anybody."""
    return dialect_of(queue_connection()).is_refusal(error)


def release(connection: Any) -> None:
    """Undo what another thread's transaction has written, where that keeps all others waiting.

    `connection` is that thread's own, or None; it is of no use to the thread afterwards.
    """
    if connection is not None and connection.connection is not None:
        dialect_of(connection).release(connection)


def repeat(attempt: Callable[[], R], dialect: Dialect) -> R:
    """Return what `attempt` returns, trying again while its error is a passing one."""
    began = time.monotonic()
    failures = 0
    told = False
    while True:
        try:
            return attempt()
        except DatabaseError as error:
            failures += 1
            seconds = time.monotonic() - began
            patient = seconds < dialect.patience_seconds
            if not dialect.is_transient(error) or (failures >= ATTEMPTS and not patient):
                raise
            late = seconds >= TOLD_AFTER_SECONDS if patient else failures >= TOLD_AFTER_FAILURES
            if late and not told:
                told = True
                signals.database_busy.send_robust(
                    sender=dialect.family, error=error, failures=failures, seconds=seconds
                )
            time.sleep(random.uniform(0, min(0.01 * 2**failures, 1)))


def adapt(connection: Any, moment: Any) -> Any:
    """Return a datetime as raw SQL on this connection takes it."""
    return None if moment is None else dialect_of(connection).adapt(connection, moment)
