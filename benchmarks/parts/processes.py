"""Drain by the number of worker processes, each time from a copy of the same database."""

from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS, OURS
from harness.environments import Unmeasurable


def measure(bench: Bench) -> dict[str, Any]:
    """Return tasks a second in each round, by the number of processes."""
    count = bench.extent.several
    server = bench.server("postgresql")
    bench.log(f"processes: queueing {count:,} tasks")
    bench.site(CONTESTANTS["ours"], "postgresql").ask("fill", 0, count)
    server.settle()
    server.keep("several")
    rates: dict[str, list[float]] = {}
    for number in bench.turns("processes", bench.extent.processes):
        server.bring_back("several")
        worker = (*OURS, f"--processes={number}")
        contestant = replace(CONTESTANTS["ours"], worker=worker, processes=number)
        site = bench.site(contestant, "postgresql", setup=False)
        rates.setdefault(str(number), [])
        try:
            rates[str(number)].append(site.drain(count).rate)
        except Unmeasurable as problem:
            # Too many for these cores: the first process may run all tasks before the last starts.
            bench.leave_out(f"{number} processes", problem)
    whole = {number: of for number, of in rates.items() if len(of) == bench.extent.rounds}
    return {"tasks": count, "rates": whole}
