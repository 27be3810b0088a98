"""Urgent calls behind mixed work: from the commit of each to its start."""

import json
from typing import Any

from harness import environments
from harness.bench import Bench
from harness.contestants import CONTESTANTS, Contestant
from harness.environments import Unmeasurable

# The queues on PostgreSQL whose calls have priorities, with one task at a time.
NAMES = ("ours", "tasks-db", "dj-queue", "procrastinate-plain", "huey-database")


def measure(bench: Bench) -> dict[str, Any]:
    """Return, by queue, the milliseconds that each urgent call waited in all rounds."""
    found: dict[str, dict[str, Any]] = {}
    for name in bench.turns("mixed", NAMES):
        if "problem" in found.get(name, {}):
            continue
        contestant = CONTESTANTS[name]
        one = found.setdefault(
            name, {"version": environments.pinned(contestant.venv), "milliseconds": []}
        )
        try:
            one["milliseconds"] += waits(bench, contestant)
        except Unmeasurable as problem:
            one["problem"] = str(problem)
            bench.leave_out(f"{name} (mixed)", problem)
    return found


def waits(bench: Bench, contestant: Contestant) -> list[float]:
    """Return how long each urgent call waited while there was other work."""
    count, urgent = bench.extent.mixed, bench.extent.urgent
    site = bench.site(contestant, "postgresql")
    site.ask("mix", count)
    bench.server("postgresql").settle()
    with site.working() as worker:
        site.wait_for(1, worker)
        commits = json.loads(site.ask("urge", count, count + urgent))
        if site.ran() >= count + urgent:
            raise Unmeasurable(f"the {count} calls were over before the {urgent} urgent ones.")
        site.wait_for(count + urgent, worker)
    records = site.records()
    site.check(records, count + urgent)
    started = {number: at for number, at, _ in records}
    return [(started[number] - at) / 1e6 for number, at in enumerate(commits, count)]
