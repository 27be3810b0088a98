"""Measure this queue beside others, in turn, in one run; every run is checked to have run it all.

    python benchmarks/run.py                      PostgreSQL, every peer, three rounds
    python benchmarks/run.py --database sqlite
    python benchmarks/run.py --peers ours tasks_db --rounds 5 --tasks 5000

Each peer has an environment of its own under benchmarks/.venvs. Its worker is started as its
documentation says, one process, one thread; its task appends a byte to a file. The drain rate is
counted from the first byte to the last, so that no start-up is in it.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SITE = HERE / "site"
VENVS = HERE / ".venvs"
PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class Peer:
    """A queue: what to install, how its worker is started, how many tasks suit its speed."""

    packages: tuple[str, ...]
    worker: tuple[str, ...]
    apps: str
    api: str = "toosimpleq"
    backend: str = ""
    share: float = 1.0
    environment: dict[str, str] = field(default_factory=dict)


DRIVER = "psycopg[binary]>=3.2"
OURS = (str(HERE.parent), DRIVER)
PEERS = {
    "ours": Peer(OURS, ("worker", "--no_schedules", "-v0"), "django_toosimple_q"),
    "ours_atomic": Peer(
        OURS,
        ("worker", "--no_schedules", "-v0"),
        "django_toosimple_q",
        share=0.25,
        environment={"BENCH_ATOMIC": "1"},
    ),
    "ours_two_processes": Peer(
        OURS, ("worker", "--no_schedules", "-v0", "--processes=2"), "django_toosimple_q"
    ),
    "toosimpleq_1": Peer(
        ("django-toosimple-q==1.2.1", "Django==5.2.*", DRIVER),
        ("worker", "--until_done", "-v0"),
        "django_toosimple_q",
        share=0.05,
    ),
    "tasks_db": Peer(
        ("django-tasks-db==0.13.0", "Django==6.0.*", DRIVER),
        ("db_worker", "--batch", "--no-startup-delay", "-v0"),
        "django_tasks_db",
        api="django.tasks",
        backend="django_tasks_db.DatabaseBackend",
        share=0.05,
    ),
}


class Bench:
    """One run: a database, a ledger, and the rounds."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.ledger = folder / "ledger"
        self.rates: dict[str, dict[str, list[float]]] = {}

    def run(self) -> None:
        """Measure round by round, each peer in turn."""
        steps = self.options.rounds * (len(self.options.peers) + 1)
        for number in range(self.options.rounds):
            for position, name in enumerate([*self.options.peers, "raw"]):
                done = number * (len(self.options.peers) + 1) + position
                print(f"\r[{done}/{steps}] round {number + 1}: {name:20}", end="", file=sys.stderr)
                if name != "raw":
                    self.measure(name)
                elif self.options.database == "postgresql":
                    self.note("raw", "drain", self.raw())
        print(f"\r{'':60}\r", end="", file=sys.stderr)

    def measure(self, name: str) -> None:
        """Measure one peer once, on empty tables."""
        peer = PEERS[name]
        count = max(int(self.options.tasks * peer.share), 200)
        self.new_database()
        self.drive(name, "prepare")
        self.drive(name, "fill", count)
        self.note(name, "drain", self.drain(name, count))
        few = max(count // 10, 100)
        self.note(name, "enqueue", float(self.drive(name, "rate", few)))
        if name == "ours":
            self.note(name, "create", float(self.drive(name, "create", few)))
            self.note(name, "queue_many", float(self.drive(name, "many", 10_000)))

    def drain(self, name: str, count: int) -> float:
        """Start the peer's worker and return tasks a second from the first to the last."""
        self.ledger.write_bytes(b"")
        command = [str(python(name)), "-m", "django", *PEERS[name].worker]
        worker = subprocess.Popen(
            command,
            cwd=SITE,
            env=self.environment(name),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            first_count = self.wait_for(1, worker)
            began = time.perf_counter()
            self.wait_for(count, worker)
            seconds = time.perf_counter() - began
        finally:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
            worker.wait(30)
        time.sleep(0.2)
        if self.ledger.stat().st_size != count:
            raise SystemExit(f"{name}: {self.ledger.stat().st_size} runs of {count} tasks.")
        return (count - first_count) / seconds

    def wait_for(self, count: int, worker: "subprocess.Popen[bytes]") -> int:
        """Wait until so many tasks have run; return how many have."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (size := self.ledger.stat().st_size) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"{size} of {count} tasks ran within {PATIENCE_SECONDS} s.")
            if worker.poll() not in (None, 0):
                raise SystemExit(f"the worker ended with {worker.returncode}.")
            time.sleep(0.002)
        return size

    def raw(self) -> float:
        self.new_database()
        return float(self.output("ours", "raw.py", str(self.options.tasks)))

    def drive(self, name: str, *arguments: object) -> str:
        return self.output(name, "drive.py", *map(str, arguments))

    def output(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(python(name)), *arguments],
            cwd=SITE,
            env=self.environment(name),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{name}: {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout.strip()

    def environment(self, name: str) -> dict[str, str]:
        peer = PEERS[name]
        return {
            **os.environ,
            **peer.environment,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": str(SITE),
            "BENCH_APPS": peer.apps,
            "BENCH_API": peer.api,
            "BENCH_BACKEND": peer.backend,
            "BENCH_DATABASE": self.options.database,
            "BENCH_NAME": self.database_name(),
            "BENCH_LEDGER": str(self.ledger),
        }

    def database_name(self) -> str:
        if self.options.database == "sqlite":
            return str(self.folder / "bench.sqlite3")
        return f"bench_toosimpleq_{os.getpid()}"

    def new_database(self) -> None:
        if self.options.database == "sqlite":
            for file in self.folder.glob("bench.sqlite3*"):
                file.unlink()
            return
        self.drop_database()
        self.sql(f"CREATE DATABASE {self.database_name()}")

    def drop_database(self) -> None:
        if self.options.database == "postgresql":
            self.sql(f"DROP DATABASE IF EXISTS {self.database_name()} WITH (FORCE)")

    def sql(self, statement: str) -> str:
        """Run a statement outside of the measured database and print its first value."""
        code = (
            "import os, sys, psycopg; c = psycopg.connect(dbname='postgres', autocommit=True,"
            " host=os.environ.get('PGHOST', '127.0.0.1'), user=os.environ.get('PGUSER',"
            " 'postgres')); r = c.execute(sys.argv[1]); print(r.fetchone()[0] if r.description"
            " else '')"
        )
        return self.output("ours", "-c", code, statement)

    def note(self, name: str, what: str, rate: float) -> None:
        self.rates.setdefault(name, {}).setdefault(what, []).append(rate)

    def settings(self) -> list[str]:
        """Return what the figures were measured with."""
        lines = [
            f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}",
            f"{self.options.tasks} tasks (slower peers fewer), {self.options.rounds} rounds",
        ]
        if self.options.database == "postgresql":
            version = self.sql("SHOW server_version")
            fsync, commit = self.sql("SHOW fsync"), self.sql("SHOW synchronous_commit")
            lines.append(f"PostgreSQL {version}, fsync {fsync}, synchronous_commit {commit}")
        return lines


def python(name: str) -> Path:
    """Return the interpreter of a peer's environment; ours share one."""
    shared = "ours" if PEERS[name].packages == OURS else name
    return VENVS / shared / "bin" / "python"


def install(names: list[str]) -> None:
    """Make the environments that are missing, and bring ours up to date."""
    for name in dict.fromkeys(["ours", *names]):
        interpreter = python(name)
        ours = PEERS[name].packages == OURS
        if interpreter.exists() and not ours:
            continue
        print(f"installing {name} …", file=sys.stderr)
        if not interpreter.exists():
            venv.create(interpreter.parent.parent, with_pip=True)
        command = [str(interpreter), "-m", "pip", "install", "-q", *PEERS[name].packages]
        subprocess.run(command, check=True)


def table(rates: dict[str, dict[str, list[float]]]) -> str:
    """Return medians, their range, and what ours is a multiple of."""
    best = statistics.median(rates["ours"]["drain"]) if "ours" in rates else None
    lines = ["| | drain/s, median (min to max) | ours ÷ it | enqueue/s |", "|---|---|---|---|"]
    for name, found in rates.items():
        drain = found["drain"]
        median = statistics.median(drain)
        ratio = f"{best / median:.2f}" if best else ""
        queued = f"{statistics.median(found['enqueue']):,.0f}" if "enqueue" in found else ""
        span = f"{median:,.0f} ({min(drain):,.0f} to {max(drain):,.0f})"
        lines.append(f"| {name} | {span} | {ratio} | {queued} |")
    ours = rates.get("ours", {})
    if "create" in ours:
        queue, create = (statistics.median(ours[what]) for what in ("enqueue", "create"))
        many = statistics.median(ours["queue_many"])
        lines += [
            "",
            f"`queue()` {queue:,.0f}/s, a plain `objects.create` {create:,.0f}/s: "
            f"{queue / create:.2f}; `queue_many` {many:,.0f}/s: {many / queue:.1f}",
        ]
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    for name in ("rounds", "tasks"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} cannot be {getattr(options, name)}. Use 1 or more.")
    return options


def main() -> None:
    """Install, measure, print."""
    options = parse()
    install(options.peers)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        try:
            bench.run()
            print("\n".join([*bench.settings(), "", table(bench.rates)]))
        finally:
            bench.drop_database()
    if options.json:
        options.json.write_text(json.dumps(bench.rates, indent=1))


if __name__ == "__main__":
    main()
