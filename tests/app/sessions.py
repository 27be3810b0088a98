"""Tasks that change their session with the database, and one that reports what it finds."""

import multiprocessing
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

from django.db import DatabaseError, connection, connections, transaction

from django_toosimple_q.decorators import register_task
from tests.app.models import Effect

# By database, what a task may do. Each list is executed in order.
TAMPERING: dict[str, dict[str, list[str]]] = {
    "postgresql": {
        "begin": ["BEGIN", "INSERT INTO tests_app_effect (key, at) VALUES ('lost', now())"],
        "begin only": ["BEGIN"],
        "failed transaction": ["BEGIN", "SELECT 1 / 0"],
        "begin and commit": ["BEGIN", "COMMIT"],
        "search_path": ["SET search_path TO pg_catalog"],
        "search_path by function": ["SELECT set_config('search_path', 'pg_catalog', false)"],
        "second statement": ["SELECT 1; SET search_path TO pg_catalog"],
        "role": ["SET ROLE pg_monitor"],
        "session authorization": ["SET SESSION AUTHORIZATION pg_monitor"],
        "read only": ["SET default_transaction_read_only = on"],
        "isolation": ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
        "time zone": ["SET TIME ZONE 'Asia/Tokyo'"],
        "encoding": ["SET client_encoding TO LATIN1"],
        "statement_timeout": ["SET statement_timeout = 1"],
        "lock": ["SELECT pg_advisory_lock(1)"],
        "lock tried": ["SELECT pg_try_advisory_lock(2)"],
        "temporary table": ["CREATE TEMPORARY TABLE toosimpleq_taskexec (id int)"],
        "temporary by select": ["SELECT 1 AS id INTO TEMP toosimpleq_taskexec"],
        "prepared": ["PREPARE leftover AS SELECT 1"],
        "listen": ["LISTEN elsewhere"],
        "cursor": ["DECLARE leftover CURSOR WITH HOLD FOR SELECT 1"],
        "anonymous block": ["DO $$ BEGIN PERFORM set_config('role', 'pg_monitor', false); END $$"],
        "comment": ["/* a comment; with a semicolon */ SET search_path TO pg_catalog"],
    },
    "mysql": {
        "begin": ["BEGIN", "INSERT INTO tests_app_effect (`key`, at) VALUES ('lost', now())"],
        "begin only": ["START TRANSACTION"],
        "chain": ["BEGIN", "COMMIT AND CHAIN"],
        "database": ["USE information_schema"],
        "read only": ["SET SESSION TRANSACTION READ ONLY"],
        "isolation": ["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
        "sql_mode": ["SET sql_mode = 'ANSI_QUOTES'"],
        "time zone": ["SET time_zone = '+09:00'"],
        "names": ["SET NAMES latin1"],
        "foreign keys": ["SET foreign_key_checks = 0"],
        "autocommit": ["SET autocommit = 0"],
        "second statement": ["SELECT 1; SET time_zone = '+09:00'"],
        "executable comment": ["/*!40101 SET time_zone = '+09:00' */"],
        "lock": ["SELECT GET_LOCK('leftover', 0)"],
        "lock tables": ["LOCK TABLES tests_app_effect WRITE"],
        "temporary table": ["CREATE TEMPORARY TABLE toosimpleq_taskexec (id int)"],
        "prepared": ["PREPARE leftover FROM 'SELECT 1'"],
        "variable": ["SET @leftover = 1"],
        "variable by select": ["SELECT 1 INTO @leftover"],
        "xa": ["XA START 'leftover'"],
    },
    "sqlite": {
        "begin": [
            "BEGIN IMMEDIATE",
            "INSERT INTO tests_app_effect (key, at) VALUES ('lost', '2026-01-01')",
        ],
        "begin only": ["BEGIN"],
        "savepoint": ["SAVEPOINT x"],
        "begin and commit": ["BEGIN", "COMMIT"],
        "query_only": ["PRAGMA query_only = ON"],
        "foreign keys": ["PRAGMA foreign_keys = OFF"],
        "other database": ["ATTACH ':memory:' AS other"],
        "temporary table": ["CREATE TEMPORARY TABLE toosimpleq_taskexec (id int)"],
        "busy": ["PRAGMA busy_timeout = 1"],
        "comment": ["/* PRAGMA */ PRAGMA /* ; */ query_only = ON"],
    },
}
# What is in a transaction when the task returns, so that it counts as left open.
LEFT_OPEN = {
    "postgresql": {"begin", "begin only"},
    "mysql": {"begin", "begin only", "chain", "autocommit", "xa"},
    "sqlite": {"begin", "begin only", "savepoint"},
}
FAILING = {"postgresql": {"failed transaction"}, "mysql": set[str](), "sqlite": set[str]()}

REPORTS = {
    "postgresql": """
        SELECT current_setting('search_path'), current_user, session_user,
            current_setting('default_transaction_read_only'),
            current_setting('default_transaction_isolation'), current_setting('TimeZone'),
            current_setting('client_encoding'), current_setting('statement_timeout'),
            (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
            (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
            (SELECT count(*) FROM pg_prepared_statements WHERE name = 'leftover'),
            (SELECT count(*) FROM pg_listening_channels()),
            (SELECT count(*) FROM pg_cursors WHERE is_holdable)
    """,
    "mysql": """
        SELECT database(), @@tx_read_only, @@tx_isolation, @@sql_mode, @@time_zone,
            @@character_set_client, @@foreign_key_checks, @@autocommit, @@in_transaction,
            IS_USED_LOCK('leftover') = CONNECTION_ID(), @leftover
    """,
    "sqlite": "SELECT * FROM pragma_query_only, pragma_foreign_keys, pragma_busy_timeout",
}


def tampering() -> dict[str, list[str]]:
    """Return what a task may do to a session of this run's database."""
    return TAMPERING[connection.vendor]


@register_task(name="sessions.tamper")
def tamper(kinds: Sequence[str], raw: bool = False) -> None:
    """Change the session, by Django's cursor or by the driver's own, and leave it so."""
    connection.ensure_connection()
    for kind in kinds:
        for statement in tampering()[kind]:
            source = connection.connection if raw else connection
            with closing(source.cursor()) as cursor:
                cursor.execute(statement)


@register_task(name="sessions.change_the_driver")
def change_the_driver() -> None:
    """Change the settings of the driver's own connection."""
    connection.ensure_connection()
    raw: Any = connection.connection
    if connection.vendor == "postgresql":
        raw.read_only = True
    elif connection.vendor == "mysql":
        raw.select_db("information_schema")
    else:
        raw.row_factory = sqlite3.Row
        raw.isolation_level = "EXCLUSIVE"


TRACED: list[str] = []
# By name, what a task may install on a connection of SQLite, and a statement that meets it.
INSTALLED: dict[str, Callable[[Any], object]] = {
    "authorizer": lambda raw: raw.set_authorizer(refuse_to_write),
    "progress handler": lambda raw: raw.set_progress_handler(lambda: 1, 1),
    "trace callback": lambda raw: raw.set_trace_callback(TRACED.append),
    "function": lambda raw: raw.create_function("leftover", 0, lambda: 1),
    "collation": lambda raw: raw.create_collation("leftover", lambda one, other: 0),
    "limit": lambda raw: raw.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, 3),
}


def refuse_to_write(action: int, *rest: Any) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_INSERT else sqlite3.SQLITE_OK


@register_task(name="sessions.install")
def install(name: str) -> int:
    """Install something on the driver's connection, and leave it so; return the process id."""
    connection.ensure_connection()
    INSTALLED[name](connection.connection)
    return os.getpid()


@register_task(name="sessions.find_installed")
def find_installed() -> list[str]:
    """Return what an earlier task has left on the connection."""
    found = []
    traced = len(TRACED)
    for name, statement in (
        ("function", "SELECT leftover()"),
        ("collation", "SELECT 'a' = 'b' COLLATE leftover"),
    ):
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(statement)
            found.append(name)
    Effect.objects.create(key="kept")
    list(Effect.objects.all())
    return [*found, *(["trace callback"] if len(TRACED) > traced else [])]


UNREAD: list[Any] = []


@register_task(name="sessions.read_a_part")
def read_a_part(block: bool) -> None:
    """Keep rows that are not read to the end, and leave a block open too, with `block`."""
    rows = Effect.objects.iterator(chunk_size=2)
    UNREAD.append((next(rows), rows))
    if block:
        transaction.atomic().__enter__()


def close_underneath() -> None:
    connection.connection.close()


def close_in_a_child() -> None:
    child = multiprocessing.get_context("fork").Process(target=connections.close_all)
    child.start()
    child.join()


CLOSING = {"underneath": close_underneath, "in a child": close_in_a_child}


@register_task(name="sessions.close")
def close(how: str) -> None:
    """Close the session where Django does not see it."""
    connection.ensure_connection()
    CLOSING[how]()


@register_task(name="sessions.report")
def report() -> list[Any]:
    """Return what the session is like, having written with it."""
    with transaction.atomic():
        Effect.objects.create(key="kept")
    with connection.cursor() as cursor:
        cursor.execute(REPORTS[connection.vendor])
        found = list(cursor.fetchone())
        if connection.vendor == "sqlite":
            cursor.execute("SELECT COUNT(*) FROM pragma_database_list WHERE name <> 'temp'")
            found += cursor.fetchone()
            cursor.execute("SELECT COUNT(*) FROM sqlite_temp_schema")
            found += cursor.fetchone()
    return found
