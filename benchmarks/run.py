"""Measure this queue beside others: in turn, in one run, each checked to have run every task.

examples:
  python benchmarks/run.py                                    every queue on PostgreSQL, 3 rounds
  python benchmarks/run.py --quick                            one short round
  python benchmarks/run.py --database sqlite
  python benchmarks/run.py --peers ours tasks-db raw --rounds 5
  python benchmarks/run.py --json results.json

Each queue has an environment of its own under benchmarks/.venvs, made on the first run. How it is
measured, and what counts, stands in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import environments
from harness.contestants import BOTH, CONTESTANTS

if TYPE_CHECKING:
    from harness.measure import Site

FEWEST_TASKS = 200


def main() -> None:
    """Install, measure round by round, print."""
    options = parse()
    environments.enter(__file__)
    # Told to end, it cleans up, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with environments.alone(), tempfile.TemporaryDirectory() as folder:
        try:
            Comparison(options, Path(folder)).run()
        except environments.Unmeasurable as problem:
            sys.exit(str(problem))
        except KeyboardInterrupt:
            sys.exit("stopped; nothing is left behind.")


class Comparison:
    """One run: a server to make databases on, and what each contestant showed in each round."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        from harness.servers import DATABASES, Redis

        self.options = options
        self.folder = folder
        self.server = DATABASES[options.database](folder)
        self.needs_redis = any(CONTESTANTS[name].redis for name in options.peers)
        self.redis = Redis()
        self.found: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Measure each contestant in turn, so many rounds, and print what was found."""
        from harness import report

        self.prepare()
        settings = self.settings()
        try:
            self.measure()
        finally:
            self.clean_up()
        print(f"\n{report.conditions(settings)}\n\n{report.table(self.found)}")
        if self.options.json:
            report.write(self.options.json, settings, self.found)
        if any("problem" in one for one in self.found.values()):
            sys.exit(1)

    def prepare(self) -> None:
        """Make the environments; a queue that cannot be installed is named and left out."""
        self.server.check()
        self.check_redis()
        problems: dict[str, str] = {}
        for venv in dict.fromkeys(CONTESTANTS[name].venv for name in self.options.peers):
            try:
                environments.ensure(venv, self.options.python)
            except environments.Unmeasurable as problem:
                problems[venv] = str(problem)
        for name in self.options.peers:
            contestant = CONTESTANTS[name]
            self.found[name] = {"version": environments.pinned(contestant.peer)}
            if contestant.venv in problems:
                self.found[name]["problem"] = problems[contestant.venv]

    def check_redis(self) -> None:
        """Leave out what needs Redis where there is none, unless it was asked for by name."""
        if not self.needs_redis:
            return
        try:
            self.redis.check()
        except environments.Unmeasurable as problem:
            if self.options.named:
                raise
            print(f"without the queues on Redis: {problem}", file=sys.stderr)
            self.needs_redis = False
            kept = [name for name in self.options.peers if not CONTESTANTS[name].redis]
            self.options.peers = kept

    def measure(self) -> None:
        from tqdm import tqdm

        turns = [name for _ in range(self.options.rounds) for name in self.options.peers]
        progress = tqdm(turns, unit="run", dynamic_ncols=True)
        for name in progress:
            progress.set_description(f"{name:22}")
            if "problem" in self.found[name]:
                continue
            try:
                self.measure_one(name)
            except environments.Unmeasurable as problem:
                self.found[name]["problem"] = str(problem)
                tqdm.write(f"{name}: {problem}", file=sys.stderr)

    def measure_one(self, name: str) -> None:
        """Measure one contestant once, on empty tables."""
        from harness.measure import Site

        contestant = CONTESTANTS[name]
        self.server.make_empty()
        if contestant.redis:
            self.redis.make_empty()
        site = Site(contestant, self.server.kind, self.server.name, self.folder)
        site.ask("setup")
        count = max(int(self.options.tasks * contestant.share), FEWEST_TASKS)
        if name == "raw":
            site.ask("fill", 0, count)
            self.server.settle()
            self.note(name, "drained", count / float(site.ask("limit", count)))
            return
        self.queue(site, name, count)
        if contestant.worker:
            self.server.settle()
            drained = site.drain(count)
            self.note(name, "drained", drained.rate)
            self.note(name, "peak_megabytes", drained.peak_megabytes)

    def queue(self, site: Site, name: str, count: int) -> None:
        """Queue some calls one by one, which is timed, and the rest in bulk."""
        from harness.measure import ENQUEUED_ONE_BY_ONE

        timed = min(count // 2, ENQUEUED_ONE_BY_ONE)
        self.note(name, "queued", timed / float(site.ask("enqueue", 0, timed)))
        if CONTESTANTS[name].worker:
            site.ask("fill", timed, count)

    def note(self, name: str, what: str, value: float) -> None:
        self.found[name].setdefault(what, []).append(value)

    def settings(self) -> dict[str, str]:
        """Return what the figures are measured with."""
        python = environments.python_of(CONTESTANTS[self.options.peers[0]].venv)
        versions = environments.packages(python.parent.parent.name, "Django", "psycopg")
        return {
            "Python": environments.version_of(python),
            **versions,
            **self.server.settings(),
            **(self.redis.settings() if self.needs_redis else {}),
            "cores": str(os.cpu_count()),
            # Above the number of cores, others were at work: ratios hold, rates do not.
            "load before": f"{os.getloadavg()[0]:.1f}",
            "system": f"{platform.system()} {platform.machine()}",
            "rounds": str(self.options.rounds),
            "tasks": f"{self.options.tasks} (slower queues fewer)",
        }

    def clean_up(self) -> None:
        self.server.drop()
        if self.needs_redis:
            self.redis.make_empty()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what cannot be right ends here."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        metavar="QUEUE",
        help=f"which to measure (default: all): {', '.join(CONTESTANTS)}",
    )
    parser.add_argument("--rounds", type=int, help="how often each has its turn (3)")
    parser.add_argument("--tasks", type=int, help="how many tasks ours drains in a round (100000)")
    parser.add_argument("--database", choices=BOTH, default="postgresql", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of 10000 tasks")
    parser.add_argument(
        "--python", default=sys.executable, help="makes the environments (this one)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds if options.rounds is not None else 1 if options.quick else 3
    options.tasks = (
        options.tasks if options.tasks is not None else 10_000 if options.quick else 100_000
    )
    check(parser, options)
    return options


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a sentence when an option cannot be right; fill in the default queues."""
    for name, least in (("rounds", 1), ("tasks", FEWEST_TASKS)):
        if getattr(options, name) < least:
            parser.error(f"--{name} cannot be {getattr(options, name)}. Use {least} or more.")
    unknown = set(options.peers or ()).difference(CONTESTANTS)
    if unknown:
        parser.error(f"--peers: no queue {min(unknown)!r}. Choose from {', '.join(CONTESTANTS)}.")
    able = [name for name, one in CONTESTANTS.items() if options.database in one.databases]
    unable = set(options.peers or ()).difference(able)
    if unable:
        parser.error(
            f"{min(unable)} is not measured on {options.database}. Leave it out of --peers."
        )
    options.named = bool(options.peers)
    options.peers = list(dict.fromkeys(options.peers or able))
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: there is no directory {options.json.parent}. Make it first.")


if __name__ == "__main__":
    main()
