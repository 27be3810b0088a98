"""Run the test suite once on every database that answers.

    python scripts/test.py [PYTEST ARGUMENT ...]

TOOSIMPLEQ_TEST_DATABASES=sqlite,postgresql,mariadb names the databases to run on and makes each
of them mandatory.
"""

from __future__ import annotations  # an old Python must get as far as our message

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from databases import Database, Unavailable, select
from environment import ROOT, EnvironmentProblem, ensure

# What needs no database runs with the first one only.
UNIT_TESTS = "tests/unit"
NOTHING_COLLECTED = 5


@dataclass(frozen=True)
class Run:
    """What came of the suite on one database."""

    name: str
    exit_code: int
    seconds: float

    @property
    def passed(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        verdict = "passed" if self.passed else f"FAILED (pytest exit code {self.exit_code})"
        return f"{self.name:<12}{verdict}, {self.seconds:.0f} s"


def run_on(database: Database, python: Path, arguments: list[str], first: bool) -> Run:
    """Run pytest on one database."""
    print(f"\n=== {database.name} ===", flush=True)
    once_only = [] if first else [f"--ignore={UNIT_TESTS}"]
    began = time.monotonic()
    code = _wait(
        subprocess.Popen(
            [python, "-m", "pytest", *once_only, *arguments],
            cwd=ROOT,
            env=database.environment(),
        )
    )
    if code == NOTHING_COLLECTED and not first:
        code = 0
    return Run(database.name, code, time.monotonic() - began)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for pytest, which a Ctrl-C reaches as well: it still has its database to destroy."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def report(runs: list[Run], left_out: dict[str, str]) -> int:
    """Print a line per database and the whole result; return the exit code."""
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
        runs = [run_on(each, python, arguments, each is databases[0]) for each in databases]
    except (EnvironmentProblem, Unavailable) as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return report(runs, left_out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
