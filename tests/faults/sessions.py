"""A second session to the database of the run: to lock tables in, and to end others' sessions."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections
from django.db.backends.signals import connection_created

from tests.support import wait_for

# How many other sessions have asked something within so many seconds.
BUSY = {
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = CURRENT_DATABASE()"
    " AND pid <> PG_BACKEND_PID()"
    " AND (state <> 'idle' OR CLOCK_TIMESTAMP() - state_change < %s * INTERVAL '1 second')",
    "mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()"
    " AND id <> CONNECTION_ID() AND (command <> 'Sleep' OR time_ms < %s * 1000)",
}
TABLES = ("toosimpleq_taskexec", "toosimpleq_workerstatus")


@contextmanager
def other_session() -> Iterator[Any]:
    """Return a connection beside the one that Django gives this thread."""
    other = connection.copy()
    try:
        yield other
    finally:
        other.close()


def elsewhere(act: Callable[[], Any], seconds: float = 10) -> Any:
    """Return what a call returns in a thread with a session of its own; fail when it waits."""

    def run() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(run).result(seconds)
    finally:
        pool.shutdown(wait=False)


@contextmanager
def locked_tables() -> Iterator[None]:
    """Let nobody read or write the queue's tables while the block runs."""
    with other_session() as other, other.cursor() as cursor:
        if other.vendor == "postgresql":
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
        elif other.vendor == "mysql":
            cursor.execute(f"LOCK TABLES {', '.join(f'{table} WRITE' for table in TABLES)}")
        else:
            cursor.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            cursor.execute("UNLOCK TABLES" if other.vendor == "mysql" else "ROLLBACK")


def end_sessions(like: str = "%") -> int:
    """End the others' sessions with this database, all or those whose statement is like that."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT PG_TERMINATE_BACKEND(pid) FROM pg_stat_activity WHERE query LIKE %s"
                " AND datname = CURRENT_DATABASE() AND pid <> PG_BACKEND_PID()",
                [like],
            )
            return len(cursor.fetchall())
        cursor.execute(
            "SELECT id FROM information_schema.processlist"
            " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        found = [row[0] for row in cursor.fetchall()]
        for session in found:
            cursor.execute(f"KILL CONNECTION {session}")
        return len(found)


@contextmanager
def opened_with(statement: str) -> Iterator[None]:
    """Begin each connection of this process with a statement while the block runs."""

    def begin(connection: Any, **kwargs: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    connection.close()
    connection_created.connect(begin)
    try:
        yield
    finally:
        connection_created.disconnect(begin)
        connection.close()


def wait_until_idle(seconds: float = 0.3) -> None:
    """Wait until no other session has asked anything for so long; of a file nobody can tell."""
    if connection.vendor == "sqlite":
        return

    def all_idle() -> bool:
        with other_session() as other, other.cursor() as cursor:
            cursor.execute(BUSY[other.vendor], [seconds])
            return not cursor.fetchone()[0]

    wait_for(all_idle)
