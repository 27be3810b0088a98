"""Measure this queue against its goals and beside others, and write the page about it.

examples:
  python benchmarks/run.py                           all of it, into docs/benchmarks.md
  python benchmarks/run.py --quick                   a few minutes, to see that everything works
  python benchmarks/run.py --only drain,latency
  python benchmarks/run.py --only drain --peers ours tasks-db raw --rounds 5
  python benchmarks/run.py --from benchmarks/results/full.json --docs
  python benchmarks/run.py --from full.json another.json   what another run says of the goals, too

parts: drain, sqlite, processes, enqueue, latency, cron, growth, snapshot, memory, idle, hotspots.

A run writes its figures and its page into benchmarks/results; a full run of all parts writes
docs/benchmarks.md, too. Each queue has an environment of its own under benchmarks/.venvs, made on
the first run. How it is measured, and what counts, stands in benchmarks/README.md.
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
    """Measure the parts that are asked for, or read what was measured; write the page."""
    environments.enter(__file__)
    options = parse()
    # Told to end, it cleans up, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.sources:
        publish(*map(read, options.sources), docs=options.docs)
        return
    with environments.alone(), tempfile.TemporaryDirectory() as folder:
        try:
            results = measure(options, Path(folder))
        except KeyboardInterrupt:
            sys.exit("stopped; nothing is left behind.")
    whole = not options.quick and options.only == options.known
    keep(results)
    publish(results, docs=options.docs or whole)
    if results["left_out"]:
        sys.exit(1)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the parts and return what they found."""
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
    """Write the figures of a run into a file of their own."""
    from harness import report

    report.write(RESULTS / f"{results['name']}.json", results)


def publish(results: dict[str, Any], *others: dict[str, Any], docs: bool) -> None:
    """Write page and plots, and print where they are."""
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
    """Return the results in a file; end with a sentence when there are none."""
    from harness import report

    try:
        return report.read(path)
    except (OSError, ValueError) as error:
        sys.exit(f"--from: {path} holds no results: {error}")


def command() -> str:
    """Return how this run was started."""
    given = shlex.join(sys.argv[1:])
    return f'make bench ARGS="{given}"' if given else "make bench"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what cannot be right ends here."""
    from parts import PARTS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="PART,…", help=f"which parts (all): {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="one round, few tasks")
    parser.add_argument("--rounds", type=int, help="how often each has its turn (3; quick: 1)")
    parser.add_argument(
        "--peers", nargs="+", metavar="QUEUE", help="which queues to drain (all that can)"
    )
    parser.add_argument(
        "--from",
        dest="sources",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="render these results; of further files, their goals",
    )
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md in any case")
    parser.add_argument(
        "--python", default=sys.executable, help="makes the environments (this one)"
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
    """End with a sentence when something is named that there is not."""
    unknown = sorted(set(given).difference(known))
    if unknown:
        parser.error(f"{option}: there is no {unknown[0]!r}. Choose from {', '.join(known)}.")


if __name__ == "__main__":
    main()
