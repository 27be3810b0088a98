"""A PostgreSQL of the test's own, to be crashed and broken at will, and a PgBouncer before it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import SkipTest

from django.core.management import call_command
from django.db import connection

from tests.acceptance.processes import ProcessTests
from tests.support import wait_for

DATABASE = "private"
SUPERUSER = "postgres"
# initdb refuses to run as root.
ACCOUNTS = ("postgres", "nobody")
# A crash of the server is none of the machine: what was written stays in the kernel's cache.
SETTINGS = "listen_addresses = ''\nfsync = off\nmax_connections = 60\ndeadlock_timeout = 200ms\n"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's own programs, or None where there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


class PrivatePostgres:
    """A cluster in a temporary folder, reached through a socket there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = "5432"
        self.account = account()
        if self.account:
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)
        self._run("initdb", "-D", str(self.data), "-U", SUPERUSER, "-A", "trust", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{SETTINGS}unix_socket_directories = '{folder}'\n")

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "start")

    def crash(self) -> None:
        """Stop as if the server had been killed: no session ends, no checkpoint is written."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        import psycopg

        with psycopg.connect(
            host=str(self.folder), port=self.port, user=SUPERUSER, dbname=database, autocommit=True
        ) as session:
            cursor = session.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        # Its output goes to a file: a server that was started would keep a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            code = subprocess.run(
                [folder / program, *arguments],
                stdout=output,
                stderr=output,
                cwd=self.folder,
                check=False,
                **as_account(self.account),
            ).returncode
            output.seek(0)
            assert code == 0, f"{program} ended with {code}: {output.read()}"


class PgBouncer:
    """A pooler in transaction mode before a private cluster."""

    def __init__(self, server: PrivatePostgres) -> None:
        self.server = server
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder = self.server.folder
        users, config = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"{SUPERUSER}" ""\n')
        config.write_text(
            f"[databases]\n* = host={folder} port={self.server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"unix_socket_dir =\nauth_type = trust\nauth_file = {users}\npool_mode = transaction\n"
            "default_pool_size = 5\nmax_client_conn = 100\n"
        )
        program = pgbouncer()
        assert program is not None
        self.process = subprocess.Popen(
            [program, "-q", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_account(self.server.account),
        )
        wait_for(lambda: answers(self.port))

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def pgbouncer() -> str | None:
    """Return the pooler's program, or None where there is none."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def account() -> pwd.struct_passwd | None:
    """Return who is to run the server, or None when we may ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in ACCOUNTS if name in known)


def as_account(owner: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the options that start a process as somebody."""
    if owner is None:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def running_server() -> Iterator[PrivatePostgres]:
    """Run a cluster with an empty database, migrated, while the block runs."""
    with tempfile.TemporaryDirectory() as name:
        server = PrivatePostgres(Path(name))
        server.start()
        try:
            server.run(f"CREATE DATABASE {DATABASE}")
            with connected_to(str(server.folder), server.port):
                call_command("migrate", run_syncdb=True, verbosity=0)
            yield server
        finally:
            server.crash()


@contextmanager
def connected_to(host: str, port: str | int) -> Iterator[None]:
    """Let this process, and those it starts, use the private database while the block runs."""
    before = dict(connection.settings_dict)
    variables = {"PGHOST": host, "PGPORT": str(port), "PGUSER": SUPERUSER}
    environment = {name: os.environ.get(name) for name in variables}
    connection.close()
    connection.settings_dict.update(HOST=host, PORT=str(port), USER=SUPERUSER, NAME=DATABASE)
    os.environ.update(variables)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class PrivateServerTests(ProcessTests):
    """Tests whose processes and queries all go to a cluster that is made for the class."""

    server: PrivatePostgres

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if connection.vendor != "postgresql":
            raise SkipTest("runs with the tests on PostgreSQL")
        if programs() is None:
            raise SkipTest("PostgreSQL's initdb is not installed")
        cls.server = cls.enterClassContext(running_server())

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(connected_to(str(self.server.folder), self.server.port))
        call_command("flush", interactive=False, verbosity=0)
