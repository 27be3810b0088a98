"""The only place that asks which database this is."""

from functools import lru_cache
from typing import Any

from django.db import NotSupportedError, connections

from django_toosimple_q.store.dialect.base import Dialect, Pick
from django_toosimple_q.store.dialect.mysql import MySQL
from django_toosimple_q.store.dialect.postgresql import PostgreSQL
from django_toosimple_q.store.dialect.sqlite import SQLite

DIALECTS: dict[str, type[Dialect]] = {
    "postgresql": PostgreSQL,
    "sqlite": SQLite,
    "mysql": MySQL,  # MariaDB calls itself so too
}


def dialect_of(connection: Any) -> Dialect:
    """Return how this connection's database is spoken to.

    Raises NotSupportedError for a database that the queue has no SQL for.
    """
    return _dialect(connection.vendor)


@lru_cache
def _dialect(vendor: str) -> Dialect:
    if vendor not in DIALECTS:
        raise NotSupportedError(
            f"django_toosimple_q has no SQL for {vendor!r}. Use {', '.join(DIALECTS)}, or route "
            "the app to such a database with DATABASE_ROUTERS."
        )
    return DIALECTS[vendor]()


def leave_pools() -> None:
    """Connect this process to its databases directly from now on, without psycopg's pool.

    A pool is as large as a web server needs it, and whoever finds it empty waits. A worker's
    threads keep a connection each: the tasks' could then keep the heartbeat's from it.
    """
    for alias, settings in connections.settings.items():
        if not settings["OPTIONS"].get("pool"):
            continue
        connection: Any = connections[alias]
        if connection.vendor == "postgresql":
            connection.close()
            connection.close_pool()
            del settings["OPTIONS"]["pool"]


def supports_partial_indexes(connection: Any) -> bool:
    """Tell whether an index may cover some rows only."""
    return bool(connection.features.supports_partial_indexes)


def shortcomings(connection: Any) -> list[tuple[str, str]]:
    """Return what this database lacks for the queue to run well, each with its cure."""
    features = connection.features
    if connection.vendor == "mysql" and not (
        features.supports_index_column_ordering and features.has_select_for_update_skip_locked
    ):
        version = ".".join(map(str, connection.mysql_version))
        return [
            (
                f"MariaDB or MySQL {version} cannot sort by index and skip locked rows.",
                "Use MariaDB 10.8 or MySQL 8.0.1 at least, or run a single worker.",
            )
        ]
    return []


__all__ = [
    "Dialect",
    "Pick",
    "dialect_of",
    "leave_pools",
    "shortcomings",
    "supports_partial_indexes",
]
