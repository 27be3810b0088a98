"""Pick-up of a row by an idle worker: from the commit that queued it to the start of its task."""

import json
from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS, Contestant
from harness.environments import Unmeasurable

OURS = CONTESTANTS["ours"]
# By title: the database, who takes part, and how rows are queued.
WAYS = {
    "PostgreSQL": ("postgresql", OURS, "call"),
    "PostgreSQL, an occurrence that another worker queues": ("postgresql", OURS, "schedule"),
    "PostgreSQL, a schedule run by hand in the admin": ("postgresql", OURS, "hand"),
    "PostgreSQL, the replacement of a killed worker's task": ("postgresql", OURS, "rescue"),
    "MariaDB with Redis": (
        "mariadb",
        replace(
            OURS,
            installed="ours_mariadb",
            environment={"BENCH_WAKE_BY_REDIS": "1"},
            redis=True,
        ),
        "call",
    ),
    "SQLite": ("sqlite", OURS, "call"),
}


def measure(bench: Bench) -> dict[str, Any]:
    """Return, by database, the milliseconds of each pick-up."""
    found = {}
    for title, (kind, contestant, way) in WAYS.items():
        bench.log(f"latency: {title}")
        try:
            found[title] = pickups(bench, contestant, kind, way)
        except Unmeasurable as problem:
            bench.leave_out(f"latency on {title}", problem)
    return found


def pickups(bench: Bench, contestant: Contestant, kind: str, way: str) -> list[float]:
    """Queue rows for an idle worker again and again."""
    count = bench.extent.pickups
    site = bench.site(contestant, kind)
    site.ask("enqueue", 0, 1)  # shows when the worker is up
    with site.working() as worker:
        site.wait_for(1, worker)
        commits = json.loads(site.ask("run", "pickups", count, way))
        site.wait_for(count + 1, worker)
    records = site.records()
    site.check(records, count + 1)
    started = {number: at for number, at, _ in records}
    return [(started[number] - at) / 1e6 for number, at in enumerate(commits, 1)]
