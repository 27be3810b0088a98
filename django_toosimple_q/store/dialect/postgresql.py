"""PostgreSQL: one statement per step, rows locked by others are passed over."""

from collections.abc import Sequence
from json import dumps
from typing import Any

from django_toosimple_q.store.dialect.base import ALIVE, TABLE, Dialect, Pick, ranked

# What is no text.
TYPES = {
    **dict.fromkeys(("id", "root_id"), "bigint"),
    **dict.fromkeys(("priority", "retries", "retry_delay", "attempt", "deaths"), "integer"),
    **dict.fromkeys(("due", "created", "started", "finished", "expires"), "timestamptz"),
    "alone": "boolean",
    "timeout": "double precision",
}


class PostgreSQL(Dialect):
    family = "postgresql"
    clock_sql = "CLOCK_TIMESTAMP()"
    skip_locked = " FOR UPDATE SKIP LOCKED"
    # Serialization failure, deadlock, lock not available.
    transient_codes = frozenset({"40001", "40P01", "55P03"})

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

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        skipped = " AND task_name <> ALL(%s)" if pick.skipped_names else ""
        # One short index scan for each queue. MATERIALIZED is a fence: inlined, the pick could run
        # again for each row that the UPDATE looks at and lock more than its limit.
        waiting = (
            "SELECT c.* FROM UNNEST(%s::text[]) AS q(name) CROSS JOIN LATERAL ("
            f"SELECT id, priority, due, alone FROM {TABLE} WHERE state = 'QUEUED'"
            f" AND queue = q.name{skipped} ORDER BY priority DESC, due, id"
            f" LIMIT %s{self.skip_locked}) AS c"
        )
        returned = ", ".join(f"t.{column}" for column in columns)
        sql = (
            f"WITH waiting AS MATERIALIZED ({waiting}),"
            f" picked AS MATERIALIZED ({ranked('SELECT * FROM waiting')})"
            f" UPDATE {TABLE} t SET state = 'PROCESSING', worker_id = %s, unique_key = NULL,"
            f" started = %s FROM picked WHERE t.id = picked.id AND {ALIVE} RETURNING {returned}"
        )
        params = [list(pick.queues)]
        if skipped:
            params.append(list(pick.skipped_names))
        params += [pick.limit, pick.limit, pick.worker_id, started]  # type: ignore[list-item]
        params += [pick.worker_id, pick.incarnation]  # type: ignore[list-item]
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
        params: list[Any]
        if len(rows) == 1:
            # The planner takes a recordset for a hundred rows, which one is not.
            changes = ", ".join(f"{name} = %s" for name in columns)
            source, same = "", "t.id = %s"
            params = [*rows[0][1:], rows[0][0], worker_id]
        else:
            changes = ", ".join(f"{name} = v.{name}" for name in columns)
            source, same = f" FROM {recordset(names)}", "t.id = v.id"
            params = [records(names, rows), worker_id]
        sql = (
            f"UPDATE {TABLE} t SET {changes}{source} WHERE {same}"
            " AND t.state = 'PROCESSING' AND t.worker_id = %s RETURNING t.id, t.awaited"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return dict(cursor.fetchall())

    def _code(self, error: BaseException) -> Any:
        return getattr(error.__cause__, "sqlstate", None)


def recordset(columns: Sequence[str]) -> str:
    """Return rows that come as one parameter, as a table `v` of these columns.

    Adapting thousands of parameters takes the driver longer than the statement takes the server.
    """
    types = ", ".join(f"{column} {TYPES.get(column, 'text')}" for column in columns)
    return f"JSON_TO_RECORDSET(%s) AS v({types})"


def records(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return the parameter for `recordset`."""
    return dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str)
