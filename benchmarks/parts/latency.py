"""Pick-up of a call by an idle worker: from the caller's commit to the start of the task."""

import json
from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS, Contestant
from harness.environments import Unmeasurable

OURS = CONTESTANTS["ours"]
WAYS = {
    "PostgreSQL": ("postgresql", OURS),
    "MariaDB with Redis": (
        "mariadb",
        replace(
            OURS,
            installed="ours_mariadb",
            environment={"BENCH_WAKE_BY_REDIS": "1"},
            redis=True,
        ),
    ),
    "SQLite": ("sqlite", OURS),
}


def measure(bench: Bench) -> dict[str, Any]:
    """Return, by database, the milliseconds of each pick-up."""
    found = {}
    for way, (kind, contestant) in WAYS.items():
        bench.tell(f"latency: {way}")
        try:
            found[way] = pickups(bench, contestant, kind)
        except Unmeasurable as problem:
            bench.leave_out(f"latency on {way}", problem)
    return found


def pickups(bench: Bench, contestant: Contestant, kind: str) -> list[float]:
    """Call an idle worker again and again."""
    count = bench.extent.pickups
    site = bench.site(contestant, kind)
    site.ask("enqueue", 0, 1)  # tells when the worker is up
    with site.working() as worker:
        site.wait_for(1, worker)
        commits = json.loads(site.ask("run", "pickups", count))
        site.wait_for(count + 1, worker)
    records = site.records()
    site.check(records, count + 1)
    started = {number: at for number, at, _ in records}
    return [(started[number] - at) / 1e6 for number, at in enumerate(commits, 1)]
