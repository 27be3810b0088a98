"""MariaDB and MySQL: lock rows first, in index order, and then update them by id."""

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from math import ceil
from typing import Any

from django.db import DatabaseError, DataError, InterfaceError, OperationalError

from django_toosimple_q.databases import mysql_session, network
from django_toosimple_q.databases.base import (
    ALIVE,
    CONCURRENCY_KEYS,
    MINUTES,
    QUEUES,
    SCHEDULES,
    SESSION,
    TABLE,
    Bounds,
    Bucket,
    Database,
    Pick,
    marks,
)
from django_toosimple_q.databases.charsets import Charsets, column_charsets
from django_toosimple_q.databases.naive import from_utc, in_utc
from django_toosimple_q.databases.network import Limits
from django_toosimple_q.databases.portions import (
    FRAME_BYTES,
    STATEMENT_BYTES,
    portions,
    text_bytes,
)
from django_toosimple_q.databases.session import Session

# How long a statement waits for a row, and for a table that a migration changes.
LOCK_SETTINGS = ("innodb_lock_wait_timeout", "lock_wait_timeout")

LIMITS = (
    *("idle_transaction_timeout", "idle_write_transaction_timeout"),
    *("idle_readonly_transaction_timeout", "wait_timeout"),
)


class MySQL(Database):
    family = "mysql"
    # By default, "Mail" and "mail" are equal in an index. A worker of one queue would claim from
    # the other, and two such schedules would share one row.
    table_settings = (
        f"ALTER TABLE {TABLE}"
        " MODIFY queue varchar(255) COLLATE utf8mb4_bin NOT NULL DEFAULT 'default',"
        " MODIFY concurrency_key varchar(255) COLLATE utf8mb4_bin NOT NULL DEFAULT ''",
        f"ALTER TABLE {QUEUES} MODIFY name varchar(255) COLLATE utf8mb4_bin NOT NULL",
        f"ALTER TABLE {CONCURRENCY_KEYS} MODIFY name varchar(255) COLLATE utf8mb4_bin NOT NULL",
        f"ALTER TABLE {SCHEDULES} MODIFY name varchar(255) COLLATE utf8mb4_bin NOT NULL",
    )
    minute_settings = (
        f"ALTER TABLE {MINUTES}"
        " MODIFY task_name varchar(255) COLLATE utf8mb4_bin NOT NULL,"
        " MODIFY queue varchar(255) COLLATE utf8mb4_bin NOT NULL",
    )
    skip_locked = skip_locked_for_values = " FOR UPDATE SKIP LOCKED"
    first_moment = "TIMESTAMP '1000-01-01 00:00:00'"
    claim_hint = " FORCE INDEX (toosimpleq_claim)"
    # Deadlock, lock wait timeout.
    transient_codes = frozenset({1213, 1205})
    # For a row or a table, and of MySQL for what is not waited for.
    locked_codes = frozenset({1205, 3572})
    # Disk full, read-only table, table full, --read-only, read-only transaction, read-only mode.
    refusal_codes = frozenset({1021, 1036, 1114, 1290, 1792, 1836, 1874})
    # MySQL says so. MariaDB says nothing.
    idle_codes = frozenset({4031})
    unmigrated_codes = frozenset({1146, 1054})
    lost_codes = frozenset(
        {
            *(1040, 1129, 1130, 1203, 1226),  # too many connections, host blocked
            *(1042, 1043, 1044, 1045, 1049),  # the server refuses the login
            *(1030, 1037, 1038, 1041, 1135, 1206),  # out of memory, threads or locks
            *(1047, 1053, 1077, 1079, 1080),  # shutting down, or the cluster is not ready
            *(1152, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1184),  # the network
            *(1317, 1927, 1969, 3024, 4031),  # the statement or the session was killed
            *(1020, 1180, 1223, 1412),  # the snapshot or the commit failed, tables are locked
        }
    )

    def hang_up(self, connection: Any) -> None:
        with suppress(AttributeError, DatabaseError, OSError), connection.wrap_database_errors:
            network.hang_up(connection.connection.fileno())

    def is_refused(self, error: BaseException) -> bool:
        # From 2000 on codes are the client's. Two of them come with the system's error in brackets,
        # where a refusal may stand as the connect that was in progress.
        code = self._code(error)
        if not isinstance(code, int) or not 2000 <= code < 3000:
            return isinstance(code, int)
        system = (errno.ECONNREFUSED, errno.EINPROGRESS, errno.ENOENT)
        return code in (2002, 2003) and any(f"({number})" in str(error) for number in system)

    def connection_options(self, limits: Limits, given: Mapping[str, Any]) -> dict[str, Any]:
        if given.keys() & {"connect_timeout", "read_default_file"}:
            return {}
        return {"connect_timeout": limits.connect}

    def bound_session(self, connection: Any, limits: Limits) -> None:
        # A read_timeout would end long queries of tasks, too: the system watches the network
        # instead, and lets a server that works take its time.
        with suppress(AttributeError, DatabaseError, OSError), connection.wrap_database_errors:
            network.bound(connection.connection.fileno(), limits)

    @contextmanager
    def transaction(self, connection: Any, bounds: Bounds | None = None) -> Iterator[None]:
        if bounds is None:
            with super().transaction(connection):
                yield
            return
        with self.bounded(connection, bounds), super().transaction(connection):
            yield

    @contextmanager
    def bounded(self, connection: Any, bounds: Bounds) -> Iterator[None]:
        # Whole seconds. "wait_timeout" ends a session that stands idle: MariaDB and MySQL have no
        # other such setting in common.
        settings = {"wait_timeout": ceil(bounds.idle)}
        if bounds.lock is not None:
            settings |= dict.fromkeys(LOCK_SETTINGS, ceil(bounds.lock))
        # What was set is kept: code of a task may use the session afterwards.
        kept = ", ".join(f"@toosimpleq_{name} = @@{name}" for name in settings)
        new = ", ".join(f"SESSION {name} = %s" for name in settings)
        with connection.cursor() as cursor:
            cursor.execute(f"SET {kept}, {new}", list(settings.values()))
        try:
            yield
        finally:
            self._unbound(connection, settings)

    def _unbound(self, connection: Any, names: Iterable[str]) -> None:
        if connection.connection is None:
            return
        old = ", ".join(f"SESSION {name} = @toosimpleq_{name}" for name in names)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET {old}")
        except (DatabaseError, InterfaceError):
            # The next one is opened with the settings of the site.
            connection.close()

    def insert(
        self, connection: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, merge: bool
    ) -> list[tuple[int, bool]]:
        if connection.features.can_return_rows_from_bulk_insert and not merge:
            insert = super().insert
            return [
                one
                for portion in portions(rows)
                for one in insert(connection, columns, portion, merge=merge)
            ]
        placeholders = marks(columns)
        sql = (
            f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES ({placeholders})"
            f"{self._on_conflict() if merge else ''}"
        )
        inserted = []
        with connection.cursor() as cursor:
            for row in rows:
                waiting = self._merge(cursor, dict(zip(columns, row, strict=True))) if merge else 0
                if waiting:
                    inserted.append((waiting, False))
                    continue
                cursor.execute(sql, row)
                # Django makes the server count found rows, so a row that already waited and did
                # not change counts like a new one.
                inserted.append((cursor.lastrowid, not merge))
        return inserted

    def _merge(self, cursor: Any, row: Mapping[str, Any]) -> int:
        """Merge a row into the one that waits with its unique key; return that one's id, or 0.

        An INSERT that meets a duplicate locks the gap before it, too: until the caller commits
        all others would wait there, since most rows have no unique key.
        """
        cursor.execute(
            f"UPDATE {TABLE} SET state = IF(%s = 'QUEUED', 'QUEUED', state),"
            " due = LEAST(due, %s), crash_count = GREATEST(crash_count, %s),"
            " retries = CASE WHEN %s = 1 AND attempt > 1 THEN retries"
            " WHEN -1 IN (retries, %s) THEN -1 ELSE GREATEST(retries, %s) END"
            " WHERE unique_key = %s AND LAST_INSERT_ID(id) > 0",
            [
                *(row["state"], row["due"], row["crash_count"]),
                *(row["attempt"], row["retries"], row["retries"]),
                row["unique_key"],
            ],
        )
        return int(cursor.lastrowid) if cursor.rowcount else 0

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        locked = [
            row
            for bucket, room in pick.buckets.items()
            for row in self._lock(connection, columns, pick, bucket, room)
        ]
        # Each row starts with exclusive, priority, due, id.
        locked.sort(key=lambda row: (-row[1], row[2], row[3]))
        picked = locked[: pick.limit]
        lone = next((rank for rank, row in enumerate(picked) if row[0]), len(picked))
        picked = picked[: lone or 1]
        if not picked:
            return []
        placeholders = marks(picked)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {TABLE} SET state = 'PROCESSING', worker_id = %s, unique_key = NULL,"
                f" started = %s WHERE id IN ({placeholders}) AND state = 'QUEUED' AND {ALIVE}",
                [
                    *(pick.worker_id, started),
                    *(row[3] for row in picked),
                    *(pick.worker_id, pick.incarnation),
                ],
            )
            if cursor.rowcount != len(picked):
                return []
        return [row[4:] for row in picked]

    def _lock(
        self, connection: Any, columns: Sequence[str], pick: Pick, bucket: Bucket, room: int
    ) -> list[tuple[Any, ...]]:
        placeholders = marks(pick.skipped_names)
        skipped = f" AND task_name NOT IN ({placeholders})" if pick.skipped_names else ""
        # InnoDB locks what it reads, not what it returns. The order must come from the index, or
        # it would lock every waiting row to sort them. So there is one query for each bucket.
        sql = (
            f"SELECT exclusive, priority, due, id, {', '.join(columns)}"
            f" FROM {TABLE}{self.claim_hint}"
            " WHERE state = 'QUEUED' AND queue = %s AND concurrency_key = %s"
            f"{skipped} ORDER BY priority DESC, due, id LIMIT %s{self.skip_locked}"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [*bucket, *pick.skipped_names, room])
            return list(cursor.fetchall())

    def update_rows(
        self,
        connection: Any,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        worker_id: int,
    ) -> dict[int, bool]:
        mine = self._mine(connection, [row[0] for row in rows], worker_id)
        kept = [row for row in rows if row[0] in mine]
        for portion in portions(kept):
            if len(portion) == 1:
                self._refuse_oversized(connection, text_bytes(portion[0]))
            self.write_rows(connection, TABLE, columns, portion)
        return mine

    def write_rows(
        self, connection: Any, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        names = ("id", *columns)
        first = f"SELECT {', '.join(f'%s AS {name}' for name in names)}"
        other = f" UNION ALL SELECT {marks(names)}" * (len(rows) - 1)
        changes = ", ".join(f"t.{name} = v.{name}" for name in columns)
        # In this order and by this index: a plan that reads a small table first locks all its rows,
        # and waits for those that others have locked.
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE ({first}{other}) AS v STRAIGHT_JOIN {table} t FORCE INDEX (PRIMARY)"
                f" ON t.id = v.id SET {changes}",
                [value for row in rows for value in row],
            )

    def _refuse_oversized(self, connection: Any, size: int) -> None:
        """Raise DataError for a row that is too large to send, which would end the connection."""
        if size < STATEMENT_BYTES:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@max_allowed_packet")
            [most] = cursor.fetchone()
        if size + FRAME_BYTES > most:
            raise DataError(
                f"the row has {size} bytes, but max_allowed_packet is {most}. "
                "Store less, or raise max_allowed_packet."
            )

    def _mine(self, connection: Any, ids: Sequence[int], worker_id: int) -> dict[int, bool]:
        """Lock the rows that still belong to this worker, and return what `update_rows` does."""
        placeholders = marks(ids)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, awaited FROM {TABLE} WHERE id IN ({placeholders})"
                " AND state = 'PROCESSING' AND worker_id = %s ORDER BY id FOR UPDATE",
                [*ids, worker_id],
            )
            return dict(cursor.fetchall())

    def clock(self, connection: Any) -> tuple[str, list[Any]]:
        # CURRENT_TIMESTAMP is in the session's zone.
        return "UTC_TIMESTAMP(6)", []

    def adapt(self, moment: datetime) -> Any:
        return in_utc(moment)

    def moment(self, value: Any) -> Any:
        return None if value is None else from_utc(value)

    def charsets(self, connection: Any) -> Charsets:
        return column_charsets(connection)

    def watch(self, raw: Any) -> Session:
        return mysql_session.watch(raw, Session(self.settings(raw)))

    def unwatch(self, raw: Any) -> None:
        mysql_session.unwatch(raw)

    def is_same_transaction(self, connection: Any) -> bool:
        mysql_session.end_call(connection.connection)
        return super().is_same_transaction(connection)

    def in_transaction(self, raw: Any) -> bool:
        # The driver does not say, so what was noticed has to.
        session = getattr(raw, SESSION, None)
        return (session is not None and session.inside) or not raw.get_autocommit()

    def settings(self, raw: Any) -> tuple[Any, ...]:
        return (raw.get_autocommit(),)

    def limits(self, connection: Any) -> tuple[float, dict[str, float]]:
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Uptime'")
            uptime = float(cursor.fetchone()[1])
            cursor.execute(f"SHOW VARIABLES WHERE Variable_name IN ({marks(LIMITS)})", LIMITS)
            return uptime, {name: float(seconds) for name, seconds in cursor.fetchall()}

    def is_lost(self, error: BaseException) -> bool:
        # The driver raises OperationalError for every error without a class of its own. That
        # includes refused data, such as an emoji in a column of three-byte UTF-8.
        if isinstance(error, InterfaceError) or self.is_transient(error) or self.is_refusal(error):
            return True
        return isinstance(error, OperationalError) and self._means_loss(self._code(error))

    def _means_loss(self, code: Any) -> bool:
        # Numbers from 2000 on are those of the client, which does not reach the server.
        numbered = isinstance(code, int)
        return not numbered or 2000 <= code < 3000 or code in self.lost_codes

    def _code(self, error: BaseException) -> Any:
        return error.args[0] if error.args else None

    def _on_conflict(self) -> str:
        # Assignments run from left to right, and each sees the ones before it.
        return (
            " ON DUPLICATE KEY UPDATE state = IF(VALUES(state) = 'QUEUED', 'QUEUED', state),"
            " due = LEAST(due, VALUES(due)),"
            " crash_count = GREATEST(crash_count, VALUES(crash_count)),"
            " retries = CASE WHEN VALUES(attempt) = 1 AND attempt > 1 THEN retries"
            " WHEN -1 IN (retries, VALUES(retries)) THEN -1"
            " ELSE GREATEST(retries, VALUES(retries)) END,"
            " id = LAST_INSERT_ID(id)"
        )
