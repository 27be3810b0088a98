"""The only code that depends on which database is in use."""

from functools import lru_cache
from typing import Any

from django.db import NotSupportedError, connections
from django.db.backends.signals import connection_created

from django_toosimple_q.databases.base import Bounds, Database, Pick
from django_toosimple_q.databases.mysql import MySQL
from django_toosimple_q.databases.network import Limits, limits_for
from django_toosimple_q.databases.postgresql import PostgreSQL
from django_toosimple_q.databases.sqlite import SQLite

DATABASES: dict[str, type[Database]] = {
    "postgresql": PostgreSQL,
    "sqlite": SQLite,
    "mysql": MySQL,  # also MariaDB
}


def database_of(connection: Any) -> Database:
    """Return the `Database` of a connection, with its SQL and wake-ups.

    Raises NotSupportedError for a database that the queue does not support.
    """
    return _database(connection.vendor)


def find_database(connection: Any) -> Database | None:
    """Return what `database_of` does, or None for a database that the queue has no SQL for."""
    return _database(connection.vendor) if connection.vendor in DATABASES else None


@lru_cache
def _database(vendor: str) -> Database:
    if vendor not in DATABASES:
        raise NotSupportedError(
            f"django_toosimple_q does not support the database {vendor!r}. Use one of "
            f"{', '.join(DATABASES)}, or route the app to such a database with DATABASE_ROUTERS."
        )
    return DATABASES[vendor]()


def leave_pools() -> None:
    """Make this process connect to its databases directly, without psycopg's pool.

    A pool is sized for a web server, and makes a thread wait if no connection is free. Each thread
    of a worker keeps a connection, so the heartbeat might never get one.
    """
    for alias, settings in connections.settings.items():
        if not settings["OPTIONS"].get("pool"):
            continue
        connection: Any = connections[alias]
        if connection.vendor == "postgresql":
            connection.close()
            connection.close_pool()
            del settings["OPTIONS"]["pool"]


def own_connection(alias: str) -> Any:
    """Give the calling thread a connection that waits for no other thread's; return it.

    It takes none from psycopg's pool, which may be used up by the threads that this one watches.
    """
    connection: Any = connections[alias].copy()
    connection.settings_dict["OPTIONS"].pop("pool", None)
    connections[alias] = connection
    return connection


def bound_waits(limits: Limits) -> None:
    """Bound how long this process waits for a network that drops everything, from now on.

    What the project's OPTIONS say is kept. Databases that the queue has no SQL for stay as they
    are.
    """
    for alias, settings in connections.settings.items():
        connection: Any = connections[alias]
        if connection.vendor not in DATABASES:
            continue
        options = settings["OPTIONS"]
        added = _database(connection.vendor).connection_options(limits, options)
        if added:
            options.update(added)
            if not connection.in_atomic_block:
                # It may be open, without them.
                connection.close()

    def on_created(sender: Any, connection: Any, **kwargs: Any) -> None:
        if connection.vendor in DATABASES:
            _database(connection.vendor).bound_session(connection, limits)

    connection_created.connect(on_created, weak=False, dispatch_uid="toosimpleq_bound_waits")


def supports_partial_indexes(connection: Any) -> bool:
    """Return whether an index can cover only some rows."""
    return bool(connection.features.supports_partial_indexes)


def is_aborted(connection: Any) -> bool:
    """Return whether the transaction on a connection takes no more statements until a rollback."""
    if connection.vendor != "postgresql" or connection.connection is None:
        return False
    return connection.connection.info.transaction_status.name == "INERROR"


def shortcomings(connection: Any) -> list[tuple[str, str]]:
    """Return the missing features that the queue needs to run well, each with its cure."""
    if not connection.settings_dict["AUTOCOMMIT"]:
        return [
            (
                f"DATABASES[{connection.alias!r}] has AUTOCOMMIT = False. Workers refuse to start "
                "with it, and calls wait until the code that queues them commits.",
                "Remove AUTOCOMMIT, at least from the settings that workers run with.",
            )
        ]
    features = connection.features
    if connection.vendor == "mysql" and not (
        features.supports_index_column_ordering and features.has_select_for_update_skip_locked
    ):
        version = ".".join(map(str, connection.mysql_version))
        return [
            (
                f"MariaDB or MySQL {version} cannot sort by index and skip locked rows.",
                "Use at least MariaDB 10.8 or MySQL 8.0.1, or run a single worker.",
            )
        ]
    return []


__all__ = [
    "Bounds",
    "Database",
    "Pick",
    "bound_waits",
    "database_of",
    "find_database",
    "is_aborted",
    "leave_pools",
    "limits_for",
    "own_connection",
    "shortcomings",
    "supports_partial_indexes",
]
