"""Convert datetimes that were stored in the project's time zone to UTC, once, from a migration.

Without USE_TZ, Django writes the digits of TIME_ZONE into a column without time zone, and with
DATABASES[…]["TIME_ZONE"] those of that zone.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from django.utils import timezone

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import (
    CONCURRENCY_KEYS,
    QUEUES,
    SCHEDULES,
    TABLE,
    WORKERS,
    Database,
)

# The key of each table, and its datetimes. What came after has been in UTC ever since.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    TABLE: ("id", "due", "created", "started", "finished", "expires", "cancelled"),
    SCHEDULES: ("id", "last_due", "failed"),
    WORKERS: ("id", "last_tick", "started", "stopped", "rescued", "clock_jumped"),
    QUEUES: ("name", "paused"),
    CONCURRENCY_KEYS: ("name", "used_until"),
}
BATCH = 500

Change = Callable[[datetime], datetime]


def to_utc(connection: Any) -> int:
    """Convert all rows from the project's zone to UTC, and return how many were changed.

    Of an hour that a clock change repeats, nothing tells the first from the second: it is taken
    for the first.
    """
    zone = project_zone(connection)
    return _convert(connection, lambda one: _digits(one.replace(tzinfo=zone), UTC)) if zone else 0


def from_utc(connection: Any) -> int:
    """Convert all rows back to the project's zone, and return how many were changed."""
    zone = project_zone(connection)
    return _convert(connection, lambda one: _digits(one.replace(tzinfo=UTC), zone)) if zone else 0


def project_zone(connection: Any) -> tzinfo | None:
    """Return the zone in which Django writes datetimes; None where it needs no conversion."""
    if database_of(connection).stores_instants:
        return None
    zone: tzinfo = connection.timezone or timezone.get_default_timezone()
    return None if zone is UTC or str(zone) == "UTC" else zone


def _digits(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _convert(connection: Any, change: Change) -> int:
    count = 0
    for table, (key, *columns) in COLUMNS.items():
        for rows in _batches(connection, table, key, columns):
            changed = [(pk, *(_changed(one, change) for one in moments)) for pk, *moments in rows]
            _write(connection, table, key, columns, changed)
            count += len(changed)
    return count


def _batches(
    connection: Any, table: str, key: str, columns: list[str]
) -> Iterator[list[tuple[Any, ...]]]:
    raw = ", ".join(database_of(connection).raw([key, *columns]))
    beyond = ""
    params: list[Any] = []
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {raw} FROM {table}{beyond} ORDER BY {key} LIMIT %s", [*params, BATCH]
            )
            rows = list(cursor.fetchall())
        if not rows:
            return
        yield rows
        beyond, params = f" WHERE {key} > %s", [rows[-1][0]]


def _changed(value: Any, change: Change) -> Any:
    """Return what to write for a value as the driver gives it. What is no date stays as it is."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return None if moment is None else str(change(moment.replace(tzinfo=None)))
    except (ValueError, OverflowError, AttributeError):
        return value


def _write(
    connection: Any, table: str, key: str, columns: list[str], rows: list[tuple[Any, ...]]
) -> None:
    database: Database = database_of(connection)
    if key == "id":
        for start in range(0, len(rows), 100):
            database.write_rows(connection, table, columns, rows[start : start + 100])
        return
    changes = ", ".join(f"{column} = %s" for column in columns)
    sql = f"UPDATE {table} SET {changes} WHERE {key} = %s"
    with connection.cursor() as cursor:
        for name, *values in rows:
            cursor.execute(sql, [*values, name])
