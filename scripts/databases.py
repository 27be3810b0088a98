"""The databases to test on: which are required, which answer, and why others do not."""

from __future__ import annotations  # so that an old Python reaches our error message

import os
import socket
import subprocess
from dataclasses import dataclass

from environment import ROOT, EnvironmentProblem, ensure

WANTED = "TOOSIMPLEQ_TEST_DATABASES"
CONNECT_SECONDS = 3
LOGIN_SECONDS = 30

# Log in like the test run: with Django, its driver, and the settings of the tests.
LOGIN = """
import django
django.setup()
from django.db import connection
with connection._nodb_cursor() as cursor:
    cursor.execute("SELECT 1")
"""


class Unavailable(Exception):
    """A database cannot be used for tests. The message says why and what to do."""


@dataclass(frozen=True)
class Database:
    """A database, the extra that installs its driver, and the address of its server."""

    name: str
    driver: str | None = None
    host_variable: str = ""
    port_variable: str = ""
    standard_port: str = ""
    needs: str = ""

    @property
    def address(self) -> tuple[str, int]:
        host = os.environ.get(self.host_variable) or "127.0.0.1"
        return host, int(os.environ.get(self.port_variable) or self.standard_port)

    def answers(self) -> bool:
        """Return whether a server listens at the address. The login checks a socket file."""
        if self.driver is None or self.address[0].startswith("/"):
            return True
        try:
            socket.create_connection(self.address, timeout=CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    def prepare(self) -> None:
        """Install the driver and log in, or raise Unavailable."""
        if self.driver is None:
            return
        try:
            python = ensure("test", self.driver)
        except EnvironmentProblem as problem:
            raise Unavailable(f"{problem} {self.needs}".strip()) from problem
        login = subprocess.run(
            [python, "-c", LOGIN],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=LOGIN_SECONDS,
            check=False,
        )
        if login.returncode:
            reason = login.stderr.strip().splitlines()[-1]
            raise Unavailable(f"it answers but refuses the login: {reason}. {self.login_cure}")

    def environment(self) -> dict[str, str]:
        """Return the environment of a test run on this database."""
        kept = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
        return {
            **kept,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TOOSIMPLEQ_TEST_DATABASE": self.name,
        }

    @property
    def silence(self) -> str:
        host, port = self.address
        return (
            f"no server answers on {host}:{port}. Start it, or set {self.host_variable} "
            f"and {self.port_variable} to its address."
        )

    @property
    def login_cure(self) -> str:
        stem = self.host_variable.removesuffix("HOST")
        return f"Set {stem}USER and {stem}PASSWORD."


DATABASES = [
    Database("sqlite"),
    Database("postgresql", "postgresql", "PGHOST", "PGPORT", "5432"),
    Database(
        "mariadb",
        "mysql",
        "MYSQL_HOST",
        "MYSQL_PORT",
        "3306",
        "Its driver, mysqlclient, is built from source. On Debian and Ubuntu: "
        "apt-get install build-essential pkg-config python3-dev libmariadb-dev.",
    ),
]


def wanted() -> list[str]:
    """Return the databases that the environment requires, or none."""
    given = os.environ.get(WANTED, "")
    names = [name.strip() for name in given.split(",") if name.strip()]
    known = [database.name for database in DATABASES]
    for name in names:
        if name not in known:
            raise Unavailable(f"{WANTED} names {name!r}. Known are {', '.join(known)}.")
    return names


def select() -> tuple[list[Database], dict[str, str]]:
    """Return the databases to test on, and the reason for each that is left out.

    If the environment requires databases, only these are used, and they must answer. Otherwise all
    that answer are used.
    """
    names = wanted()
    chosen, left_out = [], {}
    for database in DATABASES:
        if names and database.name not in names:
            left_out[database.name] = f"not named in {WANTED}"
            continue
        try:
            if not database.answers():
                raise Unavailable(database.silence)
            database.prepare()
        except Unavailable as unavailable:
            if names:
                raise Unavailable(
                    f"{database.name} is required ({WANTED}={','.join(names)}): {unavailable}"
                ) from unavailable
            left_out[database.name] = str(unavailable)
        else:
            chosen.append(database)
    return chosen, left_out
