"""Measure this queue against its goals and other queues, and write the page of results.

examples:
  python benchmarks/run.py                           everything, into docs/benchmarks.md
  python benchmarks/run.py --quick                   a few minutes, to check that everything works
  python benchmarks/run.py --only drain,latency
  python benchmarks/run.py --only drain --peers ours tasks-db raw --rounds 5
  python benchmarks/run.py --from benchmarks/results/full.json --docs
  python benchmarks/run.py --from full.json another.json   with another run's verdict on the goals

parts: drain, sqlite, processes, enqueue, latency, mixed, cron, growth, snapshot, memory, idle,
hotspots, admin.

A run writes its figures and its page into benchmarks/results. A full run of all parts also writes
docs/benchmarks.md. Each queue has its own environment under benchmarks/.venvs, created on the first
run. benchmarks/README.md explains how it is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import environments
from harness.contestants import CONTESTANTS
from harness.extent import FULL, QUICK

RESULTS = environments.BENCHMARKS / "results"
DOCS = environments.REPOSITORY / "docs"


def main() -> None:
    """Measure the selected parts, or read earlier results, and write the page."""
    environments.enter(__file__)
    options = parse()
    # Clean up on SIGTERM, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.sources:
        publish(*map(read, options.sources), docs=options.docs)
        return
    with environments.alone(), tempfile.TemporaryDirectory() as folder:
        try:
            results = measure(options, Path(folder))
        except KeyboardInterrupt:
            sys.exit("stopped and cleaned up.")
    whole = not options.quick and options.only == options.known
    keep(results)
    publish(results, docs=options.docs or whole)
    if results["left_out"]:
        sys.exit(1)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the parts and return their results."""
    from harness.bench import Bench
    from harness.machine import machine
    from parts import PARTS

    extent = QUICK if options.quick else FULL
    extent = dataclasses.replace(extent, rounds=options.rounds or extent.rounds)
    bench = Bench(extent, folder, options.python, options.peers)
    about = machine()
    found = {}
    try:
        for name in options.only:
            try:
                found[name] = PARTS[name](bench)
            except environments.Unmeasurable as problem:
                bench.leave_out(name, problem)
            except (OSError, subprocess.SubprocessError) as error:
                bench.leave_out(name, environments.Unmeasurable(repr(error)))
        servers, versions = bench.settings(), bench.versions()
    finally:
        bench.clean_up()
    some = "" if options.only == options.known else f"-{'-'.join(options.only)}"
    return {
        "name": f"{extent.name}{some}",
        "extent": extent.name,
        "command": command(),
        "machine": about,
        "servers": servers,
        "environments": versions,
        "settings": {
            "rounds": str(extent.rounds),
            "tasks": f"{extent.tasks:,} for ours, fewer for slower queues",
            "minutes": f"{(time.monotonic() - bench.began) / 60:.0f}",
        },
        "parts": found,
        "left_out": bench.left_out,
    }


def keep(results: dict[str, Any]) -> None:
    """Write the figures of a run into a file."""
    from harness import report

    report.write(RESULTS / f"{results['name']}.json", results)


def publish(results: dict[str, Any], *others: dict[str, Any], docs: bool) -> None:
    """Write the page and its plots, and print their paths."""
    from harness import plots, report

    page = report.render(results, *others)
    RESULTS.mkdir(exist_ok=True)
    for folder in [RESULTS, *([DOCS] if docs else [])]:
        plots.draw(results["parts"], folder)
        (folder / "benchmarks.md").write_text(page)
    print(f"{page}\nwritten: {' and '.join(str(one) for one in written(docs))}")


def written(docs: bool) -> list[Path]:
    """Return the pages that were written."""
    pages = [RESULTS / "benchmarks.md", *([DOCS / "benchmarks.md"] if docs else [])]
    return [page.relative_to(environments.REPOSITORY) for page in pages]


def read(path: Path) -> dict[str, Any]:
    """Return the results in a file, or exit with a message if it has none."""
    from harness import report

    try:
        return report.read(path)
    except (OSError, ValueError) as error:
        sys.exit(f"--from: {path} has no results: {error}")


def command() -> str:
    """Return the command of this run."""
    given = shlex.join(sys.argv[1:])
    return f'make bench ARGS="{given}"' if given else "make bench"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, and exit if it is invalid."""
    from parts import PARTS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="PART,…", help=f"parts to run (all): {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="one round, few tasks")
    parser.add_argument("--rounds", type=int, help="how many turns each queue has (3; quick: 1)")
    parser.add_argument(
        "--peers", nargs="+", metavar="QUEUE", help="the queues to drain (all that can)"
    )
    parser.add_argument(
        "--from",
        dest="sources",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="render these results, with the goals of further files",
    )
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md in any case")
    parser.add_argument(
        "--python", default=sys.executable, help="the Python for the environments (this one)"
    )
    options = parser.parse_args(arguments)
    options.known = list(PARTS)
    options.only = options.only.split(",") if options.only else options.known
    refuse_unknown(parser, "--only", options.only, PARTS)
    refuse_unknown(parser, "--peers", options.peers or (), CONTESTANTS)
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds cannot be {options.rounds}. Use 1 or more.")
    return options


def refuse_unknown(parser: argparse.ArgumentParser, option: str, given: Any, known: Any) -> None:
    """Exit with a message if an unknown name is given."""
    unknown = sorted(set(given).difference(known))
    if unknown:
        parser.error(f"{option}: there is no {unknown[0]!r}. Choose from {', '.join(known)}.")


if __name__ == "__main__":
    main()
