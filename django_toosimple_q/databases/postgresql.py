"""PostgreSQL: one statement per transaction, locked rows skipped."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from json import dumps
from typing import Any

from django.db import DatabaseError, OperationalError

from django_toosimple_q.databases import network
from django_toosimple_q.databases.base import (
    ALIVE,
    BUCKET,
    QUEUES,
    SESSION,
    TABLE,
    Bounds,
    Bucket,
    Database,
    Pick,
    marks,
    ranked,
)
from django_toosimple_q.databases.charsets import Charsets, codec
from django_toosimple_q.databases.network import Limits
from django_toosimple_q.databases.postgresql_hints import PostgreSQLHints, send_hint
from django_toosimple_q.databases.session import (
    DOLLAR_QUOTED,
    QUOTED,
    Session,
    Statements,
    text_of,
)
from django_toosimple_q.histogram import BINS

# The columns that are not text.
TYPES = {
    **dict.fromkeys(("id", "root_id", "last_task_id"), "bigint"),
    **dict.fromkeys(("priority", "retries", "retry_delay", "attempt", "crash_count"), "integer"),
    **dict.fromkeys(
        ("due", "created", "started", "finished", "expires", "last_due", "failed"), "timestamptz"
    ),
    **dict.fromkeys(("exclusive", "hold"), "boolean"),
    **dict.fromkeys(("timeout", "run_seconds", "wait_seconds"), "double precision"),
    **dict.fromkeys(("done", "failures", "retried", "interrupted"), "integer"),
    **{f"{kind}_{number}": "integer" for kind in ("run", "wait") for number in range(BINS)},
    **dict.fromkeys(("progress_done", "progress_total"), "double precision"),
}

# The class of the codes for what exceeds a limit of the server's.
LIMIT_EXCEEDED = "54"
STATEMENTS = Statements(
    harmless="SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|TABLE|EXPLAIN|SHOW|COPY|NOTIFY|FETCH"
    "|TRUNCATE|SAVEPOINT|RELEASE|SET\\s+(?:LOCAL|CONSTRAINTS|TRANSACTION)|BEGIN|START|COMMIT|END"
    "|ROLLBACK|ABORT",
    ending="BEGIN|START|COMMIT|END|ABORT|ROLLBACK|PREPARE\\s+TRANSACTION",
    beginning="BEGIN|START",
    functions=("set_config", "advisory_lock", "into temp", "into pg_temp", "dblink_connect"),
    quoted=QUOTED + DOLLAR_QUOTED,
)
# What libpq says of a session: a statement runs, it is in a transaction, or in a failed one.
IN_TRANSACTION = (1, 2, 3)
UNKNOWN = 4
LIMITS = ("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")


class PostgreSQL(Database):
    family = "postgresql"
    listener = PostgreSQLHints
    send_hint = staticmethod(send_hint)
    clock_sql = "CLOCK_TIMESTAMP()"
    skip_locked = " FOR UPDATE SKIP LOCKED"
    skip_locked_for_values = " FOR NO KEY UPDATE SKIP LOCKED"
    loosely_typed = False
    stores_instants = True
    first_moment = "TIMESTAMPTZ '0001-01-03 00:00:00+00'"
    last_moment = "TIMESTAMPTZ '9999-12-30 00:00:00+00'"
    # A claimed row leaves a dead entry in the index, exactly where the next claim begins. By
    # default, autovacuum starts when a fifth of the table is dead. With 200,000 dead rows of a
    # million, a look takes five times as long.
    table_settings = (
        f"ALTER TABLE {TABLE} SET"
        " (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)",
    )
    # Serialization failure, deadlock, lock not available.
    transient_codes = frozenset({"40001", "40P01", "55P03"})
    locked_codes = frozenset({"55P03"})
    # Read-only transaction, disk full.
    refusal_codes = frozenset({"25006", "53100"})
    # Idle in a transaction, transaction too long, idle.
    idle_codes = frozenset({"25P03", "25P04", "57P05"})
    unmigrated_codes = frozenset({"42P01", "42703"})

    def hang_up(self, connection: Any) -> None:
        with suppress(DatabaseError, OSError), connection.wrap_database_errors:
            network.hang_up(connection.connection.fileno())

    def is_refused(self, error: BaseException) -> bool:
        # The first is the server's own word, as while it starts; the last is that of a socket file.
        words = ("FATAL", os.strerror(errno.ECONNREFUSED), os.strerror(errno.ENOENT))
        return any(word in str(error) for word in words)

    def connection_options(self, limits: Limits, given: Mapping[str, Any]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if "PGCONNECT_TIMEOUT" not in os.environ:
            options["connect_timeout"] = limits.connect
        if given.get("keepalives", 1):
            options |= {
                "keepalives_idle": limits.probe,
                "keepalives_interval": limits.probe,
                "keepalives_count": max(1, limits.lost // limits.probe),
            }
        options["tcp_user_timeout"] = limits.lost * 1000
        return {name: value for name, value in options.items() if name not in given}

    @contextmanager
    def transaction(self, connection: Any, bounds: Bounds | None = None) -> Iterator[None]:
        with super().transaction(connection):
            if bounds is None:
                yield
                return
            with self.bounded(connection, bounds):
                yield

    @contextmanager
    def bounded(self, connection: Any, bounds: Bounds) -> Iterator[None]:
        # Until the end of the transaction: code of a task may use the session afterwards.
        settings = {"idle_in_transaction_session_timeout": bounds.idle}
        if bounds.lock is not None:
            settings["lock_timeout"] = bounds.lock
        calls = ", ".join(["SET_CONFIG(%s, %s, true)"] * len(settings))
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {calls}",
                [one for name, value in settings.items() for one in (name, f"{value * 1000:.0f}")],
            )
        yield

    def insert(
        self, connection: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, merge: bool
    ) -> list[tuple[int, bool]]:
        names = ", ".join(columns)
        sql = (
            f"INSERT INTO {TABLE} ({names}) SELECT {names} FROM {recordset(columns)}"
            f"{self._on_conflict() if merge else ''} RETURNING id, created"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [records(columns, rows)])
            return self._inserted(cursor.fetchall(), columns, rows, merge=merge)

    def backlog(self, connection: Any) -> tuple[list[Bucket], Any]:
        # The same walk in one statement. The outer join makes sure that there is always a row.
        first = f"SELECT {BUCKET} FROM {TABLE} WHERE state = 'QUEUED'"
        sql = (
            f"WITH RECURSIVE buckets AS (({first} ORDER BY {BUCKET} LIMIT 1) UNION ALL"
            f" SELECT n.* FROM buckets p CROSS JOIN LATERAL ({first}"
            f" AND ({BUCKET}) > (p.queue, p.concurrency_key) ORDER BY {BUCKET} LIMIT 1) n)"
            f" SELECT {BUCKET}, ({self.next_due()})"
            " FROM (SELECT 1) one LEFT JOIN buckets ON NOT EXISTS (SELECT 1"
            f" FROM {QUEUES} q WHERE q.name = buckets.queue AND q.paused IS NOT NULL)"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql)
            rows = cursor.fetchall()
        return [
            Bucket(queue, concurrency_key)
            for queue, concurrency_key, _ in rows
            if queue is not None
        ], self.moment(rows[0][2])

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        skipped = " AND task_name <> ALL(%s)" if pick.skipped_names else ""
        # One short index scan for each bucket. MATERIALIZED keeps the query from being inlined,
        # where it could run again for each row of the UPDATE and lock more than its limit.
        one_room = (
            f"SELECT c.* FROM UNNEST(%s::text[], %s::text[]) AS p({BUCKET}) CROSS JOIN LATERAL ("
            f"SELECT id, priority, due, exclusive FROM {TABLE} t WHERE state = 'QUEUED'"
            f" AND t.queue = p.queue AND t.concurrency_key = p.concurrency_key{skipped}"
            f" ORDER BY priority DESC, due, id LIMIT %s{self.skip_locked}) AS c"
        )
        # The planner needs each limit as a number in the SQL. There are few different ones.
        rooms = sorted(set(pick.buckets.values()))
        waiting = " UNION ALL ".join([one_room] * len(rooms))
        returned = ", ".join(f"t.{column}" for column in columns)
        sql = (
            f"WITH waiting AS MATERIALIZED ({waiting}),"
            f" picked AS MATERIALIZED ({ranked('SELECT * FROM waiting')})"
            f" UPDATE {TABLE} t SET state = 'PROCESSING', worker_id = %s, unique_key = NULL,"
            f" started = %s FROM picked WHERE t.id = picked.id AND {ALIVE} RETURNING {returned}"
        )
        params: list[Any] = []
        for room in rooms:
            buckets = [bucket for bucket, limit in pick.buckets.items() if limit == room]
            params += [
                [bucket.queue for bucket in buckets],
                [bucket.concurrency_key for bucket in buckets],
            ]
            params += [list(pick.skipped_names)] if skipped else []
            params.append(room)
        params += [pick.limit, pick.worker_id, started, pick.worker_id, pick.incarnation]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def _update(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> tuple[str, list[Any]]:
        if len(rows) > 1:
            return super()._update(table, columns, rows)
        # The planner assumes that a recordset has a hundred rows, so a single row has its own
        # statement.
        changes = ", ".join(f"{name} = %s" for name in columns)
        [[pk, *values]] = rows
        return f"UPDATE {table} SET {changes} WHERE {table}.id = %s", [*values, pk]

    def _values(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> tuple[str, list[Any]]:
        return f"v AS (SELECT * FROM {recordset(columns)})", [records(columns, rows)]

    def is_lost(self, error: BaseException) -> bool:
        # A value that is too large for the server is none that waiting makes smaller.
        too_large = str(self._code(error)).startswith(LIMIT_EXCEEDED)
        return super().is_lost(error) and not too_large

    def charsets(self, connection: Any) -> Charsets:
        connection.ensure_connection()
        # The server told it at the login.
        name = codec(connection.connection.info.parameter_status("server_encoding") or "UTF8")
        return Charsets((name,) if name else ())

    def watch(self, raw: Any) -> Session:
        session = Session(self.settings(raw))
        setattr(raw, SESSION, session)
        raw.cursor_factory = watched(raw.cursor_factory)
        for name in ("commit", "rollback"):
            setattr(raw, name, noting_end(session, getattr(raw, name)))
        return session

    def unwatch(self, raw: Any) -> None:
        raw.cursor_factory = raw.cursor_factory.__mro__[1]
        del raw.commit, raw.rollback

    def in_transaction(self, raw: Any) -> bool:
        status = raw.pgconn.transaction_status
        if status == UNKNOWN:
            raise OperationalError("the connection is closed")
        return status in IN_TRANSACTION

    def settings(self, raw: Any) -> tuple[Any, ...]:
        return raw.autocommit, raw.isolation_level, raw.read_only, raw.deferrable

    def discard(self, raw: Any) -> None:
        # A pool would lend it to others as it is.
        if getattr(raw, "_pool", None) is not None:
            raw.close()

    def limits(self, connection: Any) -> tuple[float, dict[str, float]]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, setting::bigint / 1000.0, EXTRACT(EPOCH FROM CLOCK_TIMESTAMP() -"
                f" PG_POSTMASTER_START_TIME()) FROM pg_settings WHERE name IN ({marks(LIMITS)})",
                LIMITS,
            )
            rows = cursor.fetchall()
        return float(rows[0][2]), {name: float(seconds) for name, seconds, _ in rows}

    def _code(self, error: BaseException) -> Any:
        return getattr(error.__cause__, "sqlstate", None)

    def _same_moment(self, stored: Any, sent: Any) -> bool:
        return self.moment(stored) == sent


@cache
def watched(factory: Any) -> Any:
    """Return a class of cursors whose statements are noted in their connection's `Session`."""

    class Watched(factory):
        def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            note(self.connection, query)
            try:
                return super().execute(query, *args, **options)
            except Exception as error:
                getattr(self.connection, SESSION).code = getattr(error, "sqlstate", None)
                raise

        def executemany(self, query: Any, *args: Any, **options: Any) -> Any:
            note(self.connection, query)
            return super().executemany(query, *args, **options)

        def stream(self, query: Any, *args: Any, **options: Any) -> Any:
            note(self.connection, query)
            return super().stream(query, *args, **options)

    return Watched


def note(raw: Any, query: Any) -> None:
    """Note what a statement does to a driver's session."""
    STATEMENTS.note(getattr(raw, SESSION), text_of(query, raw))


def noting_end(session: Session, end: Any) -> Any:
    """Return a driver's `commit` or `rollback` that notes that it was called."""

    def noted(*args: Any, **options: Any) -> Any:
        session.ended = True
        return end(*args, **options)

    return noted


def recordset(columns: Sequence[str]) -> str:
    """Return SQL that reads rows from one parameter, as a table `v` with these columns.

    For thousands of parameters, the driver needs more time than the server does for the statement.
    """
    types = ", ".join(f"{column} {TYPES.get(column, 'text')}" for column in columns)
    return f"JSON_TO_RECORDSET(%s) AS v({types})"


def records(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return the parameter for `recordset`."""
    return dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str)
