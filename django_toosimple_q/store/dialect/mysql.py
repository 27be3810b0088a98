"""MariaDB and MySQL: rows are locked first, in index order, and updated by id."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import DataError, InterfaceError, OperationalError
from django.utils import timezone

from django_toosimple_q.store.dialect.base import (
    ALIVE,
    LANES,
    QUEUES,
    SCHEDULES,
    TABLE,
    Dialect,
    Pick,
    Place,
    aware,
    plain,
)

# How much text goes into one statement. The server refuses one of more than max_allowed_packet
# (16 MB, rarely set below 1 MB) and closes the connection as if it was lost.
STATEMENT_BYTES = 500_000
# What a statement takes beside a row's text: error and outputs, of 64 KB each, are escaped.
FRAME_BYTES = 200_000


class MySQL(Dialect):
    family = "mysql"
    # Else "Mail" and "mail" are one to the index: a worker of one queue claims from the other, and
    # of two schedules only one has a row.
    table_settings = (
        f"ALTER TABLE {TABLE}"
        " MODIFY queue varchar(255) COLLATE utf8mb4_bin NOT NULL DEFAULT 'default',"
        " MODIFY lane varchar(255) COLLATE utf8mb4_bin NOT NULL DEFAULT ''",
        f"ALTER TABLE {QUEUES} MODIFY name varchar(255) COLLATE utf8mb4_bin NOT NULL",
        f"ALTER TABLE {LANES} MODIFY name varchar(255) COLLATE utf8mb4_bin NOT NULL",
        f"ALTER TABLE {SCHEDULES} MODIFY name varchar(255) COLLATE utf8mb4_bin NOT NULL",
    )
    skip_locked = " FOR UPDATE SKIP LOCKED"
    claim_hint = " FORCE INDEX (toosimpleq_claim)"
    # Deadlock, lock wait timeout.
    transient_codes = frozenset({1213, 1205})
    # Disk full, read-only table, table full, --read-only, read-only transaction, read-only mode.
    refusal_codes = frozenset({1021, 1036, 1114, 1290, 1792, 1836, 1874})
    lost_codes = frozenset(
        {
            *(1040, 1129, 1130, 1203, 1226),  # too many connections, host blocked
            *(1042, 1043, 1044, 1045, 1049),  # the server does not let us in
            *(1030, 1037, 1038, 1041, 1135, 1206),  # it has no memory, threads, locks left
            *(1047, 1053, 1077, 1079, 1080),  # it shuts down, or its cluster is not ready
            *(1152, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1184),  # the network
            *(1317, 1927, 1969, 3024, 4031),  # somebody ended the statement or the session
            *(1020, 1180, 1223, 1412),  # the snapshot or the commit fails, tables are locked
        }
    )

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
        marks = ", ".join(["%s"] * len(columns))
        sql = (
            f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES ({marks})"
            f"{self._on_conflict() if merge else ''}"
        )
        inserted = []
        with connection.cursor() as cursor:
            for row in rows:
                cursor.execute(sql, row)
                # Django has the server count rows that it found: one that waited already and
                # stayed as it was counts like a new one.
                inserted.append((cursor.lastrowid, not merge))
        return inserted

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        locked = [
            row
            for place, room in pick.places.items()
            for row in self._lock(connection, columns, pick, place, room)
        ]
        # Each starts with alone, priority, due, id.
        locked.sort(key=lambda row: (-row[1], row[2], row[3]))
        picked = locked[: pick.limit]
        lone = next((rank for rank, row in enumerate(picked) if row[0]), len(picked))
        picked = picked[: lone or 1]
        if not picked:
            return []
        marks = ", ".join(["%s"] * len(picked))
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {TABLE} SET state = 'PROCESSING', worker_id = %s, unique_key = NULL,"
                f" started = %s WHERE id IN ({marks}) AND state = 'QUEUED' AND {ALIVE}",
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
        self, connection: Any, columns: Sequence[str], pick: Pick, place: Place, room: int
    ) -> list[tuple[Any, ...]]:
        marks = ", ".join(["%s"] * len(pick.skipped_names))
        skipped = f" AND task_name NOT IN ({marks})" if pick.skipped_names else ""
        # InnoDB locks what it reads, not what it returns: the order must come from the index, or
        # every waiting row is locked to sort them; hence one query for each place.
        sql = (
            f"SELECT alone, priority, due, id, {', '.join(columns)} FROM {TABLE}{self.claim_hint}"
            " WHERE state = 'QUEUED' AND queue = %s AND lane = %s"
            f"{skipped} ORDER BY priority DESC, due, id LIMIT %s{self.skip_locked}"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [*place, *pick.skipped_names, room])
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
            self._update(connection, columns, portion)
        return mine

    def _update(
        self, connection: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        if len(rows) == 1:
            self._refuse_oversized(connection, text_bytes(rows[0]))
        names = ("id", *columns)
        first = f"SELECT {', '.join(f'%s AS {name}' for name in names)}"
        other = f" UNION ALL SELECT {', '.join(['%s'] * len(names))}" * (len(rows) - 1)
        changes = ", ".join(f"t.{name} = v.{name}" for name in columns)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {TABLE} t JOIN ({first}{other}) AS v ON t.id = v.id SET {changes}",
                [value for row in rows for value in row],
            )

    def _refuse_oversized(self, connection: Any, size: int) -> None:
        """Raise DataError for a row that no statement can carry, before it costs the connection."""
        if size < STATEMENT_BYTES:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@max_allowed_packet")
            [most] = cursor.fetchone()
        if size + FRAME_BYTES > most:
            raise DataError(f"{size} bytes are too many for max_allowed_packet, which is {most}")

    def _mine(self, connection: Any, ids: Sequence[int], worker_id: int) -> dict[int, bool]:
        """Lock those of the rows that are still this worker's; return what `update_rows` does."""
        marks = ", ".join(["%s"] * len(ids))
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, awaited FROM {TABLE} WHERE id IN ({marks}) AND state = 'PROCESSING'"
                " AND worker_id = %s ORDER BY id FOR UPDATE",
                [*ids, worker_id],
            )
            return dict(cursor.fetchall())

    def clock(self, connection: Any) -> tuple[str, list[Any]]:
        # CURRENT_TIMESTAMP is in the session's zone, and the server may know no other by name:
        # how far the zone that Django writes in is from UTC now, this host has to say.
        zone = connection.timezone or timezone.get_default_timezone()
        offset = datetime.now(zone).utcoffset() or timedelta()
        return "UTC_TIMESTAMP(6) + INTERVAL %s SECOND", [offset.total_seconds()]

    def adapt(self, connection: Any, moment: datetime) -> Any:
        return plain(connection, moment)

    def moment(self, connection: Any, value: Any) -> Any:
        return None if value is None else aware(connection, value)

    def is_lost(self, error: BaseException) -> bool:
        # The driver raises OperationalError for all that it has no class of its own for, data that
        # the server refuses among it: an emoji in a column of three-byte UTF-8.
        if isinstance(error, InterfaceError) or self.is_transient(error) or self.is_refusal(error):
            return True
        return isinstance(error, OperationalError) and self._tells_of_loss(self._code(error))

    def _tells_of_loss(self, code: Any) -> bool:
        # From 2000 on the numbers are the client's: it does not reach the server.
        numbered = isinstance(code, int)
        return not numbered or 2000 <= code < 3000 or code in self.lost_codes

    def _code(self, error: BaseException) -> Any:
        return error.args[0] if error.args else None

    def _on_conflict(self) -> str:
        # Assignments run from left to right and see what is assigned before them.
        return (
            " ON DUPLICATE KEY UPDATE state = IF(VALUES(state) = 'QUEUED', 'QUEUED', state),"
            " due = LEAST(due, VALUES(due)), deaths = GREATEST(deaths, VALUES(deaths)),"
            " retries = IF(-1 IN (retries, VALUES(retries)), -1,"
            " GREATEST(retries, VALUES(retries))),"
            " id = LAST_INSERT_ID(id)"
        )


def portions(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the rows in portions that a statement can carry, the larger ones each by itself."""
    portion: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        added = text_bytes(row)
        if portion and size + added > STATEMENT_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += added
    if portion:
        yield portion


def text_bytes(row: Sequence[Any]) -> int:
    """Return how many bytes the texts of a row take, not yet escaped."""
    return sum(len(value.encode()) for value in row if isinstance(value, str))
