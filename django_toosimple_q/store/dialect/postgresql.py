"""PostgreSQL: one statement per step, rows locked by others are passed over."""

from collections.abc import Sequence
from json import dumps
from typing import Any

from django_toosimple_q.store.dialect.base import ALIVE, QUEUES, TABLE, Dialect, Pick, Place, ranked

# What is no text.
TYPES = {
    **dict.fromkeys(("id", "root_id"), "bigint"),
    **dict.fromkeys(("priority", "retries", "retry_delay", "attempt", "deaths"), "integer"),
    **dict.fromkeys(("due", "created", "started", "finished", "expires"), "timestamptz"),
    **dict.fromkeys(("alone", "hold"), "boolean"),
    "timeout": "double precision",
}


class PostgreSQL(Dialect):
    family = "postgresql"
    clock_sql = "CLOCK_TIMESTAMP()"
    skip_locked = " FOR UPDATE SKIP LOCKED"
    # A claimed row leaves a dead entry at the very place in the index where the next look begins.
    # By default a fifth of the table has to be dead before they go: 200,000 of a million, which
    # make a look five times as long.
    table_settings = (
        f"ALTER TABLE {TABLE} SET"
        " (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)",
    )
    # Serialization failure, deadlock, lock not available.
    transient_codes = frozenset({"40001", "40P01", "55P03"})
    # Read-only transaction, disk full.
    refusal_codes = frozenset({"25006", "53100"})

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

    def look(self, connection: Any) -> tuple[list[Place], Any]:
        # The same walk in one statement, left by an outer join so that there is always a row.
        first = f"SELECT queue, lane FROM {TABLE} WHERE state = 'QUEUED'"
        sql = (
            f"WITH RECURSIVE places AS (({first} ORDER BY queue, lane LIMIT 1) UNION ALL"
            f" SELECT n.* FROM places p CROSS JOIN LATERAL ({first}"
            " AND (queue, lane) > (p.queue, p.lane) ORDER BY queue, lane LIMIT 1) n)"
            f" SELECT queue, lane, (SELECT MIN(due) FROM {TABLE} WHERE state = 'SLEEPING')"
            " FROM (SELECT 1) one LEFT JOIN places ON NOT EXISTS (SELECT 1"
            f" FROM {QUEUES} q WHERE q.name = places.queue AND q.paused IS NOT NULL)"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql)
            rows = cursor.fetchall()
        return [Place(queue, lane) for queue, lane, _ in rows if queue is not None], rows[0][2]

    def claim(
        self, connection: Any, columns: Sequence[str], pick: Pick, started: Any
    ) -> list[tuple[Any, ...]]:
        skipped = " AND task_name <> ALL(%s)" if pick.skipped_names else ""
        # One short index scan for each place. MATERIALIZED is a fence: inlined, the pick could run
        # again for each row that the UPDATE looks at and lock more than its limit.
        one_room = (
            "SELECT c.* FROM UNNEST(%s::text[], %s::text[]) AS p(queue, lane) CROSS JOIN LATERAL ("
            f"SELECT id, priority, due, alone FROM {TABLE} t WHERE state = 'QUEUED'"
            f" AND t.queue = p.queue AND t.lane = p.lane{skipped} ORDER BY priority DESC, due, id"
            f" LIMIT %s{self.skip_locked}) AS c"
        )
        # The planner has to see a limit as a number: there are few different ones.
        rooms = sorted(set(pick.places.values()))
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
            places = [place for place, limit in pick.places.items() if limit == room]
            params += [[place.queue for place in places], [place.lane for place in places]]
            params += [list(pick.skipped_names)] if skipped else []
            params.append(room)
        params += [pick.limit, pick.worker_id, started, pick.worker_id, pick.incarnation]
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
