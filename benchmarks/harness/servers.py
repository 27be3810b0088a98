"""Empty databases to measure on, and what the servers say of themselves."""

import os
import shutil
from pathlib import Path

import psycopg
import redis

from harness.environments import Unmeasurable

REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/15")
SHOWN = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "shared_buffers",
    "max_wal_size",
    "full_page_writes",
)
CONNECT_SECONDS = 5
HOW_TO_REACH = {
    "postgresql": (
        "Start it, set PGHOST, PGPORT, PGUSER and PGPASSWORD, or use --database sqlite."
    ),
    "mariadb": "Start it, or set MYSQL_HOST, MYSQL_USER and MYSQL_PASSWORD.",
}

# libpq's own variables, for us and for every peer.
os.environ.setdefault("PGHOST", "127.0.0.1")
os.environ.setdefault("PGUSER", "postgres")


class PostgreSQL:
    """Databases of our own on the server that libpq finds."""

    kind = "postgresql"

    def __init__(self, folder: Path) -> None:
        self.name = f"bench_toosimpleq_{os.getpid()}"

    def check(self) -> None:
        """Raise Unmeasurable when the server does not let us in."""
        self._run("postgres", "SELECT 1")

    def make_empty(self) -> None:
        self.drop()
        self._run("postgres", f"CREATE DATABASE {self.name}")

    def settle(self) -> None:
        """Leave nothing of the set-up for later: no statistics to gather, nothing to flush."""
        self._run(self.name, "VACUUM ANALYZE")
        self._run(self.name, "CHECKPOINT")

    def drop(self) -> None:
        self._run("postgres", f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def settings(self) -> dict[str, str]:
        shown = {one: self._run("postgres", f"SHOW {one}") for one in SHOWN}
        return {"PostgreSQL": shown.pop("server_version"), **shown}

    def _run(self, database: str, statement: str) -> str:
        try:
            with psycopg.connect(
                dbname=database, autocommit=True, connect_timeout=CONNECT_SECONDS
            ) as connection:
                cursor = connection.execute(statement)
                return str(cursor.fetchone()[0]) if cursor.description else ""
        except psycopg.OperationalError as error:
            raise Unmeasurable(
                f"PostgreSQL did not answer: {str(error).strip()} {HOW_TO_REACH['postgresql']}"
            ) from error


class SQLite:
    """A database file in a folder of this run."""

    kind = "sqlite"

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
        import sqlite3

        return {"SQLite": sqlite3.sqlite_version, "journal_mode": "wal", "synchronous": "full"}


DATABASES = {server.kind: server for server in (PostgreSQL, SQLite)}


class Redis:
    """One numbered database of a Redis server, empty when we come and when we go."""

    def __init__(self) -> None:
        self.client = redis.Redis.from_url(REDIS_URL, socket_timeout=CONNECT_SECONDS)

    def check(self) -> None:
        """Raise Unmeasurable when Redis does not answer or holds what is not ours."""
        try:
            held = self.client.dbsize()
        except redis.RedisError as error:
            raise Unmeasurable(
                f"Redis did not answer at {REDIS_URL}: {str(error).rstrip('.')}. "
                "Start it, set BENCH_REDIS_URL, or leave its queues out with --peers."
            ) from error
        if held:
            raise Unmeasurable(
                f"{REDIS_URL} holds {held} keys, and would be emptied. "
                "Name an unused database in BENCH_REDIS_URL."
            )

    def make_empty(self) -> None:
        self.client.flushdb()

    def settings(self) -> dict[str, str]:
        save = self.client.config_get("save").get("save") or "off"
        append = self.client.config_get("appendonly").get("appendonly")
        version = self.client.info("server")["redis_version"]
        return {"Redis": version, "save": str(save), "appendonly": str(append)}
