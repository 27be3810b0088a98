"""Run the test suite once on every database that answers.

    python scripts/test.py [PYTEST ARGUMENT ...]

TOOSIMPLEQ_TEST_DATABASES=sqlite,postgresql,mariadb names the databases to run on. Each of them
must then answer. With TOOSIMPLEQ_TEST_AT_ONCE=3, three of them are run on at the same time: most
tests wait for processes. What each prints comes when it has ended.
"""

from __future__ import annotations  # so that an old Python reaches our error message

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from databases import Database, Unavailable, select
from environment import ROOT, EnvironmentProblem, ensure

# Tests that need no database run only with the first one.
ONCE_ONLY = ("tests/unit", "tests/slow")
AT_ONCE = "TOOSIMPLEQ_TEST_AT_ONCE"
NOTHING_COLLECTED = 5


@dataclass(frozen=True)
class Run:
    """The result of the suite on one database."""

    name: str
    exit_code: int
    seconds: float

    @property
    def passed(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        verdict = "passed" if self.passed else f"FAILED (pytest exit code {self.exit_code})"
        return f"{self.name:<12}{verdict}, {self.seconds:.0f} s"


@dataclass
class Suite:
    """The suite on one database, in a process of its own."""

    database: Database
    command: list[str]
    first: bool
    process: subprocess.Popen[bytes] | None = None

    def run(self, output: IO[bytes] | None = None) -> Run:
        """Run pytest and wait for it; it prints to the terminal, or to a file."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=self.database.environment(),
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
        )
        code = self.process.wait()
        if code == NOTHING_COLLECTED and not self.first:
            code = 0
        return Run(self.database.name, code, time.monotonic() - began)

    def run_aside(self) -> Run:
        """Run it beside others, and print at the end what it has printed."""
        with tempfile.TemporaryFile() as output:
            run = self.run(output)
            output.seek(0)
            print(f"\n=== {run.name} ===\n{output.read().decode(errors='replace')}", flush=True)
        return run


def run_all(suites: list[Suite], at_once: int) -> list[Run]:
    """Run the suites, so many at a time. After Ctrl-C each still has its database to destroy."""
    try:
        if at_once > 1:
            with ThreadPoolExecutor(at_once) as pool:
                return list(pool.map(Suite.run_aside, suites))
        runs = []
        for suite in suites:
            print(f"\n=== {suite.database.name} ===", flush=True)
            runs.append(suite.run())
        return runs
    except KeyboardInterrupt:
        for suite in suites:
            if suite.process is not None:
                suite.process.wait()
        raise


def suite_of(database: Database, python: Path, arguments: list[str], first: bool) -> Suite:
    """Return the suite on a database."""
    once_only = [] if first else [f"--ignore={folder}" for folder in ONCE_ONLY]
    command = [str(python), "-m", "pytest", *once_only, *arguments]
    return Suite(database, command, first)


def report(runs: list[Run], left_out: dict[str, str]) -> int:
    """Print a line per database and the overall result, and return the exit code."""
    print("\n=== result ===")
    for run in runs:
        print(run)
    for name, reason in left_out.items():
        print(f"{name:<12}not run: {reason}")
    failed = [run.name for run in runs if not run.passed]
    if failed:
        print(f"FAILED on {', '.join(failed)}.")
        return 1
    print(f"Passed on {', '.join(run.name for run in runs)}.")
    return 0


def main(arguments: list[str]) -> int:
    try:
        python = ensure("test")
        databases, left_out = select()
        suites = [suite_of(each, python, arguments, each is databases[0]) for each in databases]
        runs = run_all(suites, int(os.environ.get(AT_ONCE, "1")))
    except (EnvironmentProblem, Unavailable) as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return report(runs, left_out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
