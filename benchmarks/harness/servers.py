"""Empty databases to measure on, and the settings of their servers."""

import os
import shutil
import sqlite3
from pathlib import Path

import psycopg
import pymysql
import redis

from harness.environments import Unmeasurable

REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/15")
CONNECT_SECONDS = 5

# For libpq and for the peers' settings, so that all connections use the same server.
os.environ.setdefault("PGHOST", "127.0.0.1")
os.environ.setdefault("PGUSER", "postgres")
os.environ.setdefault("MYSQL_HOST", "127.0.0.1")
os.environ.setdefault("MYSQL_PORT", "3306")
os.environ.setdefault("MYSQL_USER", "root")
os.environ.setdefault("MYSQL_PASSWORD", "")


class PostgreSQL:
    """Databases of our own on the server that libpq finds."""

    kind = "postgresql"
    title = "PostgreSQL"
    shown = (
        "server_version",
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "shared_buffers",
        "max_wal_size",
        "autovacuum",
    )

    def __init__(self, folder: Path) -> None:
        self.name = f"bench_toosimpleq_{os.getpid()}"

    def check(self) -> None:
        """Raise Unmeasurable when the server does not let us in."""
        self.ask("SELECT 1", database="postgres")

    def make_empty(self) -> None:
        self._drop(self.name)
        self.ask(f"CREATE DATABASE {self.name}", database="postgres")

    def keep(self, label: str) -> None:
        """Copy the database to another name, for `bring_back`."""
        self._copy(self.name, f"{self.name}_{label}")

    def bring_back(self, label: str) -> None:
        """Restore the database from a copy made by `keep`."""
        self._copy(f"{self.name}_{label}", self.name)

    def settle(self) -> None:
        """Finish the work of the set-up, so that no statistics or writes are left for later."""
        self.ask("VACUUM ANALYZE")
        self.ask("CHECKPOINT")

    def drop(self) -> None:
        """Drop the database and its copies."""
        listed = "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE %s"
        pattern = self.name.replace("_", r"\_") + "%"
        for name in self.ask(listed, pattern, database="postgres").split():
            self._drop(name)

    def settings(self) -> dict[str, str]:
        shown = {one: self.ask(f"SHOW {one}", database="postgres") for one in self.shown}
        return {self.title: shown.pop("server_version").split(" ")[0], **shown}

    def transactions(self) -> int:
        """Return how many transactions the database has committed so far."""
        counted = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
        return int(self.ask(counted, self.name, database="postgres"))

    def connect(self, database: str = "") -> psycopg.Connection:
        """Return a connection. Raises Unmeasurable."""
        try:
            return psycopg.connect(
                dbname=database or self.name, autocommit=True, connect_timeout=CONNECT_SECONDS
            )
        except psycopg.OperationalError as error:
            raise Unmeasurable(
                f"PostgreSQL did not answer: {_line(error)}. "
                "Start it, or set PGHOST, PGPORT, PGUSER and PGPASSWORD."
            ) from error

    def ask(self, statement: str, *values: str, database: str = "") -> str:
        """Run a statement and return its first value, or "" if there is none."""
        try:
            with self.connect(database) as connection:
                # Without values, percent signs need no escape.
                cursor = connection.execute(statement, values or None)
                row = cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            raise Unmeasurable(f"PostgreSQL refused {statement!r}: {_line(error)}") from error
        return str(row[0]) if row and row[0] is not None else ""

    def _drop(self, name: str) -> None:
        self.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", database="postgres")

    def _copy(self, source: str, target: str) -> None:
        self._drop(target)
        # Copy files, the only way before 15. The newer default writes everything to the log.
        newer = int(self.ask("SHOW server_version_num", database="postgres")) >= 150_000
        strategy = "STRATEGY file_copy" if newer else ""
        self.ask(f"CREATE DATABASE {target} TEMPLATE {source} {strategy}", database="postgres")


class MariaDB:
    """A database of our own on a MariaDB or MySQL server."""

    kind = "mariadb"
    title = "MariaDB"
    shown = (
        "version",
        "innodb_flush_log_at_trx_commit",
        "innodb_buffer_pool_size",
        "sync_binlog",
        "log_bin",
    )

    def __init__(self, folder: Path) -> None:
        self.name = f"bench_toosimpleq_{os.getpid()}"

    def check(self) -> None:
        """Raise Unmeasurable when the server does not let us in."""
        self._ask("SELECT 1")

    def make_empty(self) -> None:
        self.drop()
        self._ask(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4")

    def settle(self) -> None:
        pass

    def drop(self) -> None:
        self._ask(f"DROP DATABASE IF EXISTS {self.name}")

    def settings(self) -> dict[str, str]:
        shown = {one: self._ask(f"SELECT @@{one}") for one in self.shown}
        return {self.title: shown.pop("version"), **shown}

    def _ask(self, statement: str) -> str:
        try:
            connection = pymysql.connect(
                host=os.environ["MYSQL_HOST"],
                port=int(os.environ["MYSQL_PORT"]),
                user=os.environ["MYSQL_USER"],
                password=os.environ["MYSQL_PASSWORD"],
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
            )
        except pymysql.err.OperationalError as error:
            raise Unmeasurable(
                f"MariaDB did not answer: {_line(error)}. Start it, or set MYSQL_HOST, "
                "MYSQL_PORT, MYSQL_USER and MYSQL_PASSWORD."
            ) from error
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
        return str(row[0]) if row else ""


class SQLite:
    """A database file in the folder of this run."""

    kind = "sqlite"
    title = "SQLite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sqlite"
        self.name = str(self.folder / "bench.sqlite3")

    def check(self) -> None:
        pass

    def make_empty(self) -> None:
        self.drop()
        self.folder.mkdir()

    def settle(self) -> None:
        pass

    def drop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def settings(self) -> dict[str, str]:
        return {self.title: sqlite3.sqlite_version, "journal_mode": "wal", "synchronous": "full"}


class Redis:
    """One numbered database of a Redis server, empty before and after the run."""

    kind = "redis"
    title = "Redis"

    def __init__(self, folder: Path) -> None:
        self.client = redis.Redis.from_url(REDIS_URL, socket_timeout=CONNECT_SECONDS)

    def check(self) -> None:
        """Raise Unmeasurable if Redis does not answer or has keys that are not ours."""
        try:
            held = self.client.dbsize()
        except redis.RedisError as error:
            raise Unmeasurable(
                f"Redis did not answer at {REDIS_URL}: {_line(error)}. "
                "Start it, or set BENCH_REDIS_URL."
            ) from error
        if held:
            raise Unmeasurable(
                f"{REDIS_URL} has {held} keys and would be emptied. "
                "Set BENCH_REDIS_URL to an unused database."
            )

    def make_empty(self) -> None:
        self.client.flushdb()

    def drop(self) -> None:
        self.make_empty()

    def settings(self) -> dict[str, str]:
        save = self.client.config_get("save").get("save") or "off"
        append = self.client.config_get("appendonly").get("appendonly")
        version = self.client.info("server")["redis_version"]
        return {self.title: version, "save": str(save), "appendonly": str(append)}


def _line(error: Exception) -> str:
    """Return the message of an error, on one line and without a full stop."""
    text = str(error.args[-1] if error.args else error)
    return " ".join(text.split()).rstrip(".?")


SERVERS = {server.kind: server for server in (PostgreSQL, MariaDB, SQLite, Redis)}
