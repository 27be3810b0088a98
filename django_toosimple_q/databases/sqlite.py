"""SQLite: one writer at a time, so each transaction takes the write lock first.

Hints come from `PRAGMA data_version`, which another connection's commit changes.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import wraps
from typing import Any
from weakref import WeakSet

from django.db import DatabaseError, connections, transaction

from django_toosimple_q.databases.base import (
    ALIVE,
    TABLE,
    Bounds,
    Database,
    Pick,
    marks,
    ranked,
)
from django_toosimple_q.databases.naive import from_utc, in_utc
from django_toosimple_q.databases.network import Limits
from django_toosimple_q.databases.session import Session
from django_toosimple_q.moments import current_moment
from django_toosimple_q.wakeups.hints import WORK, Hints

MOMENTS = frozenset(
    {
        *("due", "expires", "created", "started", "finished", "cancelled", "last_due", "failed"),
        *("last_tick", "stopped", "rescued", "clock_jumped", "paused", "used_until"),
    }
)
CHECK_EVERY_SECONDS = 0.05
# The clock itself: a task may put one that stands still into the module `time`.
monotonic = time.monotonic
YEAR = "[0-9][0-9][0-9][0-9]"
# What marks the transaction of an atomic task.
MARK = "toosimpleq_mark"
# PRAGMAs that take a value and change nothing.
QUESTIONS = frozenset(
    {
        *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo"),
        *("foreign_key_list", "foreign_key_check", "integrity_check", "quick_check"),
        *("data_version", "wal_checkpoint", "optimize", "incremental_vacuum"),
    }
)
CHANGES = frozenset(
    {
        *(sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH),
        *(sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_CREATE_TEMP_TABLE),
        *(sqlite3.SQLITE_CREATE_TEMP_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_VIEW),
    }
)


def noting(name: str) -> Any:
    """Return a method of the driver's connection that notes that the session is changed by it."""
    method = getattr(sqlite3.Connection, name)

    @wraps(method)
    def noted(self: Any, *args: Any, **options: Any) -> Any:
        if self.toosimpleq_session is not None:
            self.toosimpleq_session.changed = True
        return method(self, *args, **options)

    return noted


class Watched(sqlite3.Connection):
    """Notes what code installs on a connection, which its authorizer does not see.

    It also knows the cursors of that code. One with rows that were not read holds a lock that lets
    nobody else write, and goes on to do so when its connection is closed.
    """

    toosimpleq_session: Session | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.toosimpleq_cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *args: Any, **options: Any) -> Any:
        cursor = super().cursor(*args, **options)
        if self.toosimpleq_session is not None:
            self.toosimpleq_cursors.add(cursor)
        return cursor

    set_authorizer = noting("set_authorizer")
    set_progress_handler = noting("set_progress_handler")
    set_trace_callback = noting("set_trace_callback")
    create_function = noting("create_function")
    create_window_function = noting("create_window_function")
    create_aggregate = noting("create_aggregate")
    create_collation = noting("create_collation")
    setlimit = noting("setlimit")


class SQLiteHints(Hints):
    """Polls for commits. A check costs microseconds and takes no lock. Any commit is a hint."""

    def __init__(self, wakeup: Any, alias: str, channel: str = WORK) -> None:
        super().__init__(wakeup)
        self.alias = alias
        self.version = 0
        self.version = self._version()

    def wait(self, seconds: float) -> bool:
        ends = monotonic() + seconds
        while True:
            version = self._version()
            if version != self.version:
                self.version = version
                return True
            left = ends - monotonic()
            if left <= 0:
                return False
            if self.wakeup.wait(min(left, CHECK_EVERY_SECONDS)):
                return True

    def _version(self) -> int:
        """Return the number of the newest commit, or the last known one if the file is locked."""
        connection = connections[self.alias]
        try:
            connection.ensure_connection()
            # This runs twenty times a second. Django's cursor would take ten times as long.
            with connection.wrap_database_errors:
                version: int = connection.connection.execute("PRAGMA data_version").fetchone()[0]
                return version
        except DatabaseError:  # the tick's own query reports the outage
            return self.version


class SQLite(Database):
    family = "sqlite"
    listener = SQLiteHints
    least, greatest = "MIN", "MAX"
    patience_seconds = 60.0
    # Rows that one of them has not read to the end would keep the other from writing, for ever.
    separates_sessions = False

    @contextmanager
    def transaction(self, connection: Any, bounds: Bounds | None = None) -> Iterator[None]:
        # Nothing bounds how long one that stands still keeps the file.
        # If a transaction reads first and writes later, its snapshot may be out of date, and
        # waiting does not help. Taking the write lock at the beginning avoids that.
        connection.ensure_connection()
        mode = connection.transaction_mode
        connection.transaction_mode = "IMMEDIATE"
        try:
            with transaction.atomic(using=connection.alias):
                connection.transaction_mode = mode
                yield
        finally:
            connection.transaction_mode = mode

    def is_private(self, connection: Any) -> bool:
        return bool(connection.is_in_memory_db())

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        placeholders = marks(pick.skipped_names)
        skipped = f" AND task_name NOT IN ({placeholders})" if pick.skipped_names else ""
        one_bucket = (
            f"SELECT * FROM (SELECT id, priority, due, exclusive FROM {TABLE}"
            f" WHERE state = 'QUEUED' AND queue = %s AND concurrency_key = %s{skipped}"
            " ORDER BY priority DESC, due, id LIMIT %s)"
        )
        waiting = " UNION ALL ".join([one_bucket] * len(pick.buckets))
        sql = (
            f"UPDATE {TABLE} SET state = 'PROCESSING', worker_id = %s, unique_key = NULL,"
            f" started = %s WHERE id IN ({ranked(waiting)}) AND {ALIVE}"
            f" RETURNING {', '.join(self.raw(columns))}"
        )
        params: list[Any] = [pick.worker_id, started]
        for bucket, room in pick.buckets.items():
            params += [*bucket, *pick.skipped_names, room]
        params += [pick.limit, pick.worker_id, pick.incarnation]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def clock(self, connection: Any) -> tuple[str, list[Any]]:
        # The database is on this host, so its clock is ours. STRFTIME has only milliseconds, which
        # do not equal what Django writes.
        return "%s", [self.adapt(current_moment())]

    def adapt(self, moment: datetime) -> Any:
        return in_utc(moment)

    def moment(self, value: Any) -> Any:
        if value is None:
            return None
        # sqlite3 converts plain columns but not expressions.
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return from_utc(moment)

    def abort(self, connection: Any) -> None:
        # A transaction that has written holds the one write lock until it ends.
        raw = connection.connection
        raw.interrupt()
        raw.close()

    def raw(self, columns: Sequence[str]) -> list[str]:
        # As text, past the driver's slow converter of datetimes.
        return [f"CAST({name} AS TEXT)" if name in MOMENTS else name for name in columns]

    def readable_moment(self, sql: str) -> str:
        # Any column holds anything: text as Django writes it is read, all else is the first moment.
        return (
            f"CASE WHEN {sql} IS NULL OR TYPEOF({sql}) = 'text' AND {sql} GLOB '{YEAR}-*'"
            f" AND DATE({sql}, '+0 days') = SUBSTR({sql}, 1, 10) AND SUBSTR({sql}, 12, 2) < '24'"
            f" AND {sql} BETWEEN '0001-01-03' AND '9999-12-30'"
            f" THEN {sql} ELSE '0001-01-03 00:00:00' END"
        )

    def readable_number(self, sql: str, kind: str) -> str:
        return f"CAST({sql} AS {kind})"

    def is_lost(self, error: BaseException) -> bool:
        # The driver's words for a text column that holds bytes.
        return super().is_lost(error) and "decode" not in str(error)

    def connection_options(self, limits: Limits, given: Mapping[str, Any]) -> dict[str, Any]:
        return {} if "factory" in given else {"factory": Watched}

    def watch(self, raw: Any) -> Session:
        session = Session(self.settings(raw))

        # SQLite asks before each statement that it compiles.
        def authorize(action: int, first: Any, second: Any, *rest: Any) -> int:
            if action in CHANGES or (
                action == sqlite3.SQLITE_PRAGMA and second is not None and first not in QUESTIONS
            ):
                session.changed = True
            return sqlite3.SQLITE_OK

        raw.set_authorizer(authorize)
        if isinstance(raw, Watched):
            raw.toosimpleq_session = session
        return session

    def unwatch(self, raw: Any) -> None:
        if isinstance(raw, Watched):
            raw.toosimpleq_session = None
        with suppress(sqlite3.ProgrammingError):  # it is closed
            raw.set_authorizer(None)

    def in_transaction(self, raw: Any) -> bool:
        return bool(raw.in_transaction)

    def settings(self, raw: Any) -> tuple[Any, ...]:
        return raw.isolation_level, raw.row_factory, raw.text_factory

    def close_cursors(self, raw: Any) -> None:
        if isinstance(raw, Watched) and raw.toosimpleq_cursors:
            for cursor in list(raw.toosimpleq_cursors):
                with suppress(sqlite3.Error):  # its connection is closed
                    cursor.close()
            raw.toosimpleq_cursors.clear()

    def discard(self, raw: Any) -> None:
        self.close_cursors(raw)

    def reset(self, raw: Any) -> None:
        # A database in memory would be gone with its connection.
        raw.rollback()
        raw.isolation_level, raw.row_factory, raw.text_factory = None, None, str
        for pragma in ("query_only = OFF", "foreign_keys = ON"):
            raw.execute(f"PRAGMA {pragma}")

    def mark(self, connection: Any) -> None:
        connection.connection.execute(f"SAVEPOINT {MARK}")

    def is_same_transaction(self, connection: Any) -> bool:
        try:
            connection.connection.execute(f"RELEASE {MARK}")
        except sqlite3.OperationalError:
            return False
        return self.in_transaction(connection.connection)

    def is_unmigrated(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and any(
            part in str(error) for part in ("no such table", "no such column", "no column named")
        )

    def is_transient(self, error: BaseException) -> bool:
        return "locked" in str(error) or "busy" in str(error)

    def is_refusal(self, error: BaseException) -> bool:
        return "readonly" in str(error) or "is full" in str(error)

    def _same_moment(self, stored: Any, sent: Any) -> bool:
        return str(stored) == str(sent)
