"""MariaDB and MySQL: rows are locked first, in index order, and updated by id."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from django_toosimple_q import conf
from django_toosimple_q.store.dialect.base import ALIVE, TABLE, Dialect, Pick, Place


class MySQL(Dialect):
    family = "mysql"
    # CURRENT_TIMESTAMP is the session's time zone; Django stores UTC.
    clock_sql = "UTC_TIMESTAMP(6)"
    skip_locked = " FOR UPDATE SKIP LOCKED"
    claim_hint = " FORCE INDEX (toosimpleq_claim)"
    # Deadlock, lock wait timeout.
    transient_codes = frozenset({1213, 1205})
    # Disk full, read-only table, table full, --read-only, read-only transaction.
    refusal_codes = frozenset({1021, 1036, 1114, 1290, 1792})

    def insert(
        self, connection: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, merge: bool
    ) -> list[tuple[int, bool]]:
        if connection.features.can_return_rows_from_bulk_insert and not merge:
            return super().insert(connection, columns, rows, merge=merge)
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
        if not kept:
            return {}
        names = ("id", *columns)
        first = f"SELECT {', '.join(f'%s AS {name}' for name in names)}"
        other = f" UNION ALL SELECT {', '.join(['%s'] * len(names))}" * (len(kept) - 1)
        changes = ", ".join(f"t.{name} = v.{name}" for name in columns)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {TABLE} t JOIN ({first}{other}) AS v ON t.id = v.id SET {changes}",
                [value for row in kept for value in row],
            )
        return mine

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

    def moment(self, value: Any) -> Any:
        aware = value is not None and conf.uses_time_zones()
        return value.replace(tzinfo=UTC) if aware else value

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
