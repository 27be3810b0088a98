"""How late a schedule by the second is: the time from each second to the start of its task."""

from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS
from harness.environments import Unmeasurable

# The first occurrences fall into the worker's start.
SKIPPED = 2


def measure(bench: Bench) -> dict[str, Any]:
    """Return the milliseconds by which each occurrence was late."""
    count = bench.extent.cron_seconds + SKIPPED
    site = bench.site(replace(CONTESTANTS["ours"], environment={"BENCH_CRON": "1"}), "postgresql")
    bench.log(f"cron: {count} s")
    with site.working() as worker:
        site.wait_for(count, worker)
    records = sorted(site.records())[:count]
    seconds = [second for second, _, _ in records]
    if seconds != list(range(seconds[0], seconds[0] + count)):
        raise Unmeasurable(f"the seconds were not queued once each: {seconds}")
    return {"late_milliseconds": [late / 1e6 for _, late, _ in records[SKIPPED:]]}
