"""The cost of an idle worker: queries of its main thread for each tick, and its share of a core.

The queries are counted in a separate run with a short tick. Heartbeats and maintenance run in
other threads. They are included in what the server counts.
"""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS
from harness.environments import Unmeasurable
from harness.measure import Site

OURS = CONTESTANTS["ours"]
SHORT_TICK_SECONDS = 0.5
# By then, the worker's start is over and has reached the server's statistics.
SETTLED_SECONDS = 12


def measure(bench: Bench) -> dict[str, Any]:
    """Return queries for each tick, transactions, and the share of a core."""
    seconds = bench.extent.idle_seconds
    committed, share = costs(bench, seconds)
    return {
        "seconds": seconds,
        "queries_for_each_tick": queries(bench, seconds),
        "transactions": committed,
        "cpu_share": share,
    }


def queries(bench: Bench, seconds: int) -> float:
    """Return how many statements an idle worker's main thread sends for each tick."""
    counts = bench.folder / "counts.json"
    command = ("worker", "-v0", f"--tick={SHORT_TICK_SECONDS}")
    worker = ("-m", "peers.ours.counted", str(counts), *command)
    site = bench.site(replace(OURS, worker=worker), "postgresql")
    bench.log(f"idle: {seconds} s with a tick of {SHORT_TICK_SECONDS} s")
    began, ended = idle(site, seconds)[1]
    moments = [at for at in json.loads(counts.read_text()) if began <= at <= ended]
    if len(moments) < 2:
        raise Unmeasurable(f"the worker sent {len(moments)} statements in {seconds} s of ticks.")
    # Count from statement to statement, so that it does not matter where in a tick the span began.
    ticks = (moments[-1] - moments[0]) / 1e9 / SHORT_TICK_SECONDS
    return (len(moments) - 1) / ticks


def costs(bench: Bench, seconds: int) -> tuple[int, float]:
    """Return how much an idle worker commits in some seconds, and its share of a core."""
    site = bench.site(OURS, "postgresql")
    server = bench.server("postgresql")
    bench.log(f"idle: {seconds} s with its own tick")
    (committed, used), _ = idle(
        site, seconds, lambda pid: (server.transactions(), cpu_seconds(pid))
    )
    return int(committed), used / seconds


def idle(site: Site, seconds: int, read: Any = lambda _: ()) -> tuple[list[float], tuple[int, int]]:
    """Let a worker idle. Return the growth of each reading, and the span in nanoseconds."""
    site.ask("enqueue", 0, 1)
    with site.working() as worker:
        site.wait_for(1, worker)
        time.sleep(SETTLED_SECONDS)
        before, began = read(worker.process.pid), time.monotonic_ns()
        time.sleep(seconds)
        after, ended = read(worker.process.pid), time.monotonic_ns()
    return [b - a for a, b in zip(before, after, strict=True)], (began, ended)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
