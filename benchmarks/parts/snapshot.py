"""Drain while another session holds a snapshot open, so that no dead row can be cleaned away."""

import time
from typing import Any

from harness.bench import Bench
from harness.measure import Site, Worker
from parts.growth import table

BEFORE_SECONDS = 10
POLL_SECONDS = 0.05


def measure(bench: Bench) -> dict[str, Any]:
    """Return tasks a second before and during the long transaction, and for each second."""
    extent = bench.extent
    bench.log(f"snapshot: making a table with {extent.snapshot_rows:,} waiting rows")
    site = table(bench, "waiting", extent.snapshot_rows, 1)
    before = min(BEFORE_SECONDS, extent.snapshot_seconds)
    with site.working() as worker:
        site.wait_for(1, worker)
        bench.log(f"snapshot: {before} s without, {extent.snapshot_seconds} s with")
        go_on(site, worker, extent.snapshot_rows, before)
        opened = time.monotonic_ns()
        with bench.server("postgresql").connect() as session:
            session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            session.execute("SELECT COUNT(*) FROM django_migrations")
            go_on(site, worker, extent.snapshot_rows, extent.snapshot_seconds)
            closed = time.monotonic_ns()
            session.execute("ROLLBACK")
    moments = sorted(at for _, at, _ in site.records())
    return {
        "before": rate(moments, moments[0], opened),
        "during": rate(moments, opened, closed),
        "last_fifth": rate(moments, closed - (closed - opened) // 5, closed),
        "held_seconds": (closed - opened) / 1e9,
        "opened_at": (opened - moments[0]) / 1e9,
        "by_second": by_second(moments, closed),
    }


def go_on(site: Site, worker: Worker, rows: int, seconds: float) -> None:
    """Wait some seconds, or until no rows are left to run."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and site.ran() < rows and worker.process.poll() is None:
        time.sleep(POLL_SECONDS)


def rate(moments: list[int], began: int, ended: int) -> float:
    """Return tasks a second between two moments."""
    return sum(began <= at < ended for at in moments) / ((ended - began) / 1e9)


def by_second(moments: list[int], end: int) -> list[int]:
    """Return how many tasks started in each whole second until the end."""
    counts = [0] * ((end - moments[0]) // 1_000_000_000)
    for at in moments:
        second = (at - moments[0]) // 1_000_000_000
        if second < len(counts):
            counts[second] += 1
    return counts
