"""What the parts of a run share: servers, environments and turns."""

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness import environments
from harness.contestants import Contestant
from harness.environments import Unmeasurable
from harness.extent import Extent
from harness.measure import Site
from harness.servers import SERVERS


class Bench:
    """One run. It asks for a server once, and gives the reason to each part that cannot use it."""

    def __init__(
        self, extent: Extent, folder: Path, base: str, peers: Iterable[str] | None = None
    ) -> None:
        self.extent = extent
        self.folder = folder
        self.base = base
        self.peers = None if peers is None else set(peers)
        self.began = time.monotonic()
        self.left_out: dict[str, str] = {}
        self._servers: dict[str, Any] = {}
        self._environments: dict[str, str] = {}

    def server(self, kind: str) -> Any:
        """Return a server that answers. Raises Unmeasurable if it does not."""
        if kind not in self._servers:
            server = SERVERS[kind](self.folder)
            try:
                server.check()
            except Unmeasurable as problem:
                self._servers[kind] = problem
            else:
                self._servers[kind] = server
        if isinstance(self._servers[kind], Unmeasurable):
            raise self._servers[kind]
        return self._servers[kind]

    def site(self, contestant: Contestant, kind: str, *, setup: bool = True) -> Site:
        """Return a contestant on a database, which is emptied and set up if `setup` is true."""
        server = self.server(kind)
        if contestant.redis:
            self.server("redis").make_empty()
        self._install(contestant.venv)
        site = Site(contestant, kind, server.name, self.folder)
        if setup:
            server.make_empty()
            site.ask("setup")
        return site

    def turns(self, what: str, names: Iterable[Any]) -> Iterator[Any]:
        """Yield each name once in every round, and log it."""
        names = list(names)
        for number in range(1, self.extent.rounds + 1):
            for name in names:
                self.log(f"{what}, round {number} of {self.extent.rounds}: {name}")
                yield name

    def log(self, text: str) -> None:
        """Print the current step with the time since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"{minutes:02}:{seconds:02} {text}", file=sys.stderr, flush=True)

    def leave_out(self, what: str, problem: Unmeasurable) -> None:
        """Record something that is not measured, and log it."""
        here = {str(environments.REPOSITORY): ".", str(Path.home()): "~"}
        text = str(problem)
        for place, sign in here.items():
            text = text.replace(place, sign)
        self.left_out[what] = text
        self.log(f"{what} LEFT OUT: {problem}")

    def settings(self) -> dict[str, dict[str, str]]:
        """Return the settings of the servers that took part."""
        return {server.title: server.settings() for server in self._answering()}

    def versions(self) -> dict[str, dict[str, str]]:
        """Return the installed versions in the environments that took part."""
        made = [name for name, problem in self._environments.items() if not problem]
        found = {}
        for name in made:
            python = environments.version_of(environments.python_of(name))
            listed = environments.packages(name, "Django", "psycopg", "mysqlclient", "redis")
            found[name] = {"queue": environments.pinned(name), "Python": python, **listed}
        return found

    def clean_up(self) -> None:
        """Remove everything from the servers."""
        for server in self._answering():
            server.drop()

    def _answering(self) -> list[Any]:
        return [one for one in self._servers.values() if not isinstance(one, Unmeasurable)]

    def _install(self, venv: str) -> None:
        if venv not in self._environments:
            try:
                environments.ensure(venv, self.base)
            except Unmeasurable as problem:
                self._environments[venv] = str(problem)
            else:
                self._environments[venv] = ""
        if self._environments[venv]:
            raise Unmeasurable(self._environments[venv])
