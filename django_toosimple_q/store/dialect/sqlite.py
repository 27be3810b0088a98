"""SQLite: one writer at a time, so every step is one statement or takes the write lock first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from django_toosimple_q.store.dialect.base import (
    ALIVE,
    TABLE,
    Dialect,
    Pick,
    aware,
    plain,
    ranked,
)

MOMENTS = ("due", "expires", "created")


class SQLite(Dialect):
    family = "sqlite"
    least, greatest = "MIN", "MAX"
    patience_seconds = 60.0

    @contextmanager
    def transaction(self, connection: Any) -> Iterator[None]:
        # A transaction that reads first and writes later may find its snapshot out of date, which
        # no waiting cures; taking the write lock at once cannot.
        connection.ensure_connection()
        mode = connection.transaction_mode
        connection.transaction_mode = "IMMEDIATE"
        try:
            with transaction.atomic(using=connection.alias):
                connection.transaction_mode = mode
                yield
        finally:
            connection.transaction_mode = mode

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        marks = ", ".join(["%s"] * len(pick.skipped_names))
        skipped = f" AND task_name NOT IN ({marks})" if pick.skipped_names else ""
        one_place = (
            f"SELECT * FROM (SELECT id, priority, due, alone FROM {TABLE} WHERE state = 'QUEUED'"
            f" AND queue = %s AND lane = %s{skipped} ORDER BY priority DESC, due, id LIMIT %s)"
        )
        waiting = " UNION ALL ".join([one_place] * len(pick.places))
        sql = (
            f"UPDATE {TABLE} SET state = 'PROCESSING', worker_id = %s, unique_key = NULL,"
            f" started = %s WHERE id IN ({ranked(waiting)}) AND {ALIVE}"
            f" RETURNING {', '.join(as_text(name) for name in columns)}"
        )
        params: list[Any] = [pick.worker_id, started]
        for place, room in pick.places.items():
            params += [*place, *pick.skipped_names, room]
        params += [pick.limit, pick.worker_id, pick.incarnation]
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def update_rows(
        self,
        connection: Any,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        worker_id: int,
    ) -> dict[int, bool]:
        names = ("id", *columns)
        place = f"({', '.join(['%s'] * len(names))})"
        sql = (
            f"WITH v({', '.join(names)}) AS (VALUES {', '.join([place] * len(rows))})"
            f" UPDATE {TABLE} SET {', '.join(f'{name} = v.{name}' for name in columns)} FROM v"
            f" WHERE {TABLE}.id = v.id AND {TABLE}.state = 'PROCESSING' AND {TABLE}.worker_id = %s"
            f" RETURNING {TABLE}.id, {TABLE}.awaited"
        )
        params = [value for row in rows for value in row]
        with connection.cursor() as cursor:
            cursor.execute(sql, [*params, worker_id])
            return dict(cursor.fetchall())

    def clock(self, connection: Any) -> tuple[str, list[Any]]:
        # The database is on this host, so its clock is ours; STRFTIME would write milliseconds,
        # which never equal what Django writes.
        return "%s", [self.adapt(connection, timezone.now())]

    def adapt(self, connection: Any, moment: datetime) -> Any:
        return plain(connection, moment)

    def moment(self, connection: Any, value: Any) -> Any:
        if value is None:
            return None
        # sqlite3 converts plain columns, but not expressions.
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return aware(connection, moment)

    def release(self, connection: Any) -> None:
        # A transaction that has written holds the one write lock until it ends.
        raw = connection.connection
        raw.interrupt()
        raw.close()

    def is_transient(self, error: BaseException) -> bool:
        return "locked" in str(error) or "busy" in str(error)

    def is_refusal(self, error: BaseException) -> bool:
        return "readonly" in str(error) or "is full" in str(error)

    def _same_moment(self, stored: Any, sent: Any) -> bool:
        return str(stored) == str(sent)


def as_text(column: str) -> str:
    """Return a column as `moment` takes it, past the driver's slow converter of datetimes."""
    return f"CAST({column} AS TEXT)" if column in MOMENTS else column
