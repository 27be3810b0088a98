"""Change the package in small ways, one at a time, and see whether a test notices.

    python scripts/mutants.py [--sample N] [--seed N] [--workers N] [--again] [PATH ...]

A mutant that no test notices has survived: either a test is missing, or the change changes
nothing that anybody needs. docs/mutants.md lists those that may live. Each mutant is run by the
tests that run its line, on SQLite. What was found is kept in .mutants, so that a run that was
interrupted goes on where it stopped.

examples:
  make mutants ARGS="--sample 200 --seed 1"
  make mutants ARGS="store/insert.py worker/scheduler.py"
  make mutants ARGS="--again"      only those that have survived, after tests were written
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import ROOT, EnvironmentProblem, ensure

PACKAGE = ROOT / "django_toosimple_q"
KEPT = ROOT / ".mutants"
TARGETS = ["store", "worker", "cron.py", "retry.py"]
# Those that start no worker process: such a process would run the code as it is.
IN_ONE_PROCESS = ("conflicts", "faults", "fenced", "lost_answers", "refusals")
TESTS = [
    *("tests/unit", "tests/store", "tests/worker", "tests/admin", "tests/contrib"),
    *(f"tests/faults/test_{name}.py" for name in IN_ONE_PROCESS),
]
KILLED, SURVIVED, TIMED_OUT, UNREACHED = "killed", "survived", "timed out", "not reached"
# A mutant that hangs is one that was noticed: it has this long, and a multiple of what it took.
LEAST_SECONDS, SLOWER = 30.0, 5.0
NO_TESTS = 5
BAR = 30


@dataclass
class Running:
    """A mutant whose tests run."""

    mutant: Any
    process: subprocess.Popen[bytes]
    deadline: float
    folder: tempfile.TemporaryDirectory[str]


class Coverage:
    """Which tests run which line; learned from one run of all of them."""

    def __init__(self, learned: dict[str, Any]) -> None:
        self.seconds: dict[str, float] = learned["seconds"]
        self.failed: list[str] = learned["failed"]
        self.lines: dict[str, dict[str, list[str]]] = learned["lines"]

    def tests(self, mutant: Any) -> list[str]:
        """Return the tests to run on a mutant, quick ones first."""
        found = set(self._on(mutant.path, mutant.lines))
        if mutant.constant:
            name = re.compile(rf"\b{mutant.constant}\b")
            for path in self.lines:
                text = (ROOT / path).read_text().splitlines()
                reads = (number for number, line in enumerate(text, 1) if name.search(line))
                found.update(self._on(path, reads))
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def _on(self, path: str, lines: Iterable[int]) -> Iterator[str]:
        known = self.lines.get(path, {})
        for line in lines:
            yield from known.get(str(line), ())


class Results:
    """What became of each mutant, kept from run to run while neither it nor its tests change."""

    def __init__(self, tests: str) -> None:
        self.path = KEPT / "results.jsonl"
        self.tests = tests
        self.found: dict[str, str] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                one = json.loads(line)
                # More tests may kill one that survived, but they revive none that was killed.
                if one["result"] == KILLED or one["tests"] == tests:
                    self.found[one["key"]] = one["result"]

    def add(self, key: str, mutant: Any, result: str) -> None:
        self.found[key] = result
        one = {"key": key, "tests": self.tests, "result": result, "mutant": str(mutant)}
        with self.path.open("a") as file:
            file.write(f"{json.dumps(one)}\n")


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    try:
        python = ensure("mutants")
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        return subprocess.run([python, __file__, *arguments], check=False).returncode
    KEPT.mkdir(exist_ok=True)
    with suppress(KeyboardInterrupt):
        return run(options)
    print("\nstopped; the next run goes on from here.")
    return 128 + signal.SIGINT


def run(options: argparse.Namespace) -> int:
    from mutation import mutants

    coverage = Coverage(learn(options.tests))
    if coverage.failed:
        print("left out, since they fail as it is:", *coverage.failed, sep="\n  ")
    sources = {path: path.read_bytes() for path in modules(options.paths)}
    every = [
        mutant
        for path, source in sources.items()
        for mutant in mutants(str(path.relative_to(ROOT)), source)
    ]
    results = Results(digest([ROOT / "tests", *options.tests]))
    chosen = choose(every, options)
    keys = {mutant: key_of(mutant) for mutant in chosen}
    work(chosen, keys, coverage, results, options)
    return report(chosen, keys, results, len(every))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", help=f"what to change ({' '.join(TARGETS)})")
    parser.add_argument("--sample", type=int, help="how many mutants, chosen by chance (all)")
    parser.add_argument("--seed", type=int, default=0, help="which sample (0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="at once (cores)")
    parser.add_argument("--again", action="store_true", help="run those that survived again")
    parser.add_argument("--tests", nargs="+", default=TESTS, help=f"which ({' '.join(TESTS)})")
    options = parser.parse_args(arguments)
    for path in options.paths:
        if not (PACKAGE / path).exists():
            parser.error(
                f"there is no {path!r} in {PACKAGE.name}. Name a module or a folder of it."
            )
    options.paths = options.paths or TARGETS
    return options


def modules(paths: Sequence[str]) -> list[Path]:
    """Return the modules that paths in the package name."""
    found = []
    for path in (PACKAGE / each for each in paths):
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def choose(every: Sequence[Any], options: argparse.Namespace) -> list[Any]:
    """Return a sample of the mutants, the same for the same seed."""
    if options.sample is None or options.sample >= len(every):
        return list(every)
    return sorted(random.Random(options.seed).sample(every, options.sample))


def digest(paths: Iterable[Any]) -> str:
    """Return what tells one state of some files from another."""
    summed = hashlib.sha256()
    for path in paths:
        files = sorted(Path(path).rglob("*.py")) if Path(path).is_dir() else []
        summed.update(str(path).encode())
        for file in files:
            summed.update(file.read_bytes())
    return summed.hexdigest()[:16]


def key_of(mutant: Any) -> str:
    changed = mutant.apply((ROOT / mutant.path).read_bytes())
    return hashlib.sha256(mutant.path.encode() + changed).hexdigest()[:16]


def learn(tests: Sequence[str]) -> dict[str, Any]:
    """Run all tests once, unless nothing has changed since that was done."""
    kept = KEPT / "coverage.json"
    state = digest([PACKAGE, ROOT / "tests", *tests])
    if kept.exists():
        learned: dict[str, Any] = json.loads(kept.read_text())
        if learned.get("state") == state:
            return learned
    print("running all tests once, to learn which of them run which line …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "learned.json"
        script = ROOT / "scripts" / "covering.py"
        command = [sys.executable, str(script), str(result), *tests]
        ran = subprocess.run(
            command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False
        )
        if not result.exists():
            sys.exit(f"the tests did not run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        learned = json.loads(result.read_text()) | {"state": state}
    kept.write_text(json.dumps(learned))
    return learned


def work(
    chosen: Sequence[Any],
    keys: dict[Any, str],
    coverage: Coverage,
    results: Results,
    options: argparse.Namespace,
) -> None:
    """Run the tests on each mutant that has no result yet, some at once."""
    # Of one module after the other, since what comes next can then be told by looking.
    waiting = [
        mutant
        for mutant in reversed(chosen)
        if keys[mutant] not in results.found
        or (options.again and results.found[keys[mutant]] == SURVIVED)
    ]
    running: list[Running] = []
    bar = Progress(len(waiting))
    try:
        while waiting or running:
            while waiting and len(running) < options.workers:
                mutant = waiting.pop()
                tests = coverage.tests(mutant)
                if tests:
                    running.append(start(mutant, tests, coverage))
                else:
                    results.add(keys[mutant], mutant, UNREACHED)
                    bar.step(UNREACHED)
            time.sleep(0.05)
            for one in list(running):
                result = ended(one)
                if result:
                    running.remove(one)
                    results.add(keys[one.mutant], one.mutant, result)
                    bar.step(result)
    finally:
        for one in running:
            end(one)
    bar.close()


def start(mutant: Any, tests: Sequence[str], coverage: Coverage) -> Running:
    """Start the tests of a mutant in a process of their own."""
    folder = tempfile.TemporaryDirectory(prefix="mutant_", ignore_cleanup_errors=True)
    changed = Path(folder.name) / "changed.py"
    changed.write_bytes(mutant.apply((ROOT / mutant.path).read_bytes()))
    named = Path(folder.name) / "tests.json"
    named.write_text(json.dumps(tests))
    code = (
        "import json, sys; from pathlib import Path; from covering import run_mutant;"
        "path, changed, tests = map(Path, sys.argv[1:]);"
        "sys.exit(run_mutant(path, changed.read_bytes(), json.loads(tests.read_text())))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, ROOT / mutant.path, changed, named],
        cwd=ROOT,
        env=environment(folder.name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # What a mutant starts and forgets ends with it.
        start_new_session=True,
    )
    usual = sum(coverage.seconds[test] for test in tests)
    deadline = time.monotonic() + LEAST_SECONDS + SLOWER * usual
    return Running(mutant, process, deadline, folder)


def ended(one: Running) -> str | None:
    """Return the result of a mutant whose tests are over, or None."""
    code = one.process.poll()
    if code is None and time.monotonic() < one.deadline:
        return None
    end(one)
    if code is None:
        return TIMED_OUT
    return SURVIVED if code in (0, NO_TESTS) else KILLED


def end(one: Running) -> None:
    with suppress(ProcessLookupError):
        os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait()
    one.folder.cleanup()


def environment(folder: str) -> dict[str, str]:
    """Return the environment of tests whose database is in a folder."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TOOSIMPLEQ_TEST_DATABASE": "sqlite",
        "TOOSIMPLEQ_TEST_DATABASE_NAME": str(Path(folder) / "tests.sqlite3"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")]),
    }


class Progress:
    """A bar in a terminal; elsewhere a line now and then."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done: dict[str, int] = {}
        self.began = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def step(self, result: str) -> None:
        self.done[result] = self.done.get(result, 0) + 1
        count = sum(self.done.values())
        seconds = (time.monotonic() - self.began) / count * (self.total - count)
        full = BAR * count // self.total
        line = (
            f"[{'#' * full}{'.' * (BAR - full)}] {count}/{self.total}  "
            + ", ".join(f"{number} {result}" for result, number in sorted(self.done.items()))
            + f", {seconds / 60:.0f} min left"
        )
        if self.terminal:
            print(f"\r{line}\033[K", end="", flush=True)
        elif count % 20 == 0:
            print(line, flush=True)

    def close(self) -> None:
        if self.terminal and self.done:
            print()


def report(chosen: Sequence[Any], keys: dict[Any, str], results: Results, every: int) -> int:
    """Print the mutants that lived; return 0, for whether one may live is for people to say."""
    by_result: dict[str, list[Any]] = {}
    for mutant in chosen:
        by_result.setdefault(results.found[keys[mutant]], []).append(mutant)
    print(f"{len(chosen)} of {every} mutants: ", end="")
    print(", ".join(f"{len(found)} {result}" for result, found in sorted(by_result.items())))
    for result in (UNREACHED, SURVIVED):
        if found := by_result.get(result):
            print(f"\n{result}:")
            print(*(f"  {mutant}" for mutant in found), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
