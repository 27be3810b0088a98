"""Drain in a table with other rows, which have run, or which wait behind the measured ones.

Each table is created once, by SQL, analysed, and copied for each round.
"""

from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS
from harness.measure import Site

OURS = CONTESTANTS["ours"]


def measure(bench: Bench) -> dict[str, Any]:
    """Return tasks a second in each round, by the kind and the number of the other rows."""
    server = bench.server("postgresql")
    tables = [("finished", 0)]
    tables += [(kind, size) for kind in ("finished", "waiting") for size in bench.extent.sizes[1:]]
    for kind, size in tables:
        bench.log(f"growth: making a table with {size:,} {kind} rows")
        table(bench, kind, size, bench.extent.head)
        server.keep(f"{kind}_{size}")
    rates: dict[str, dict[str, list[float]]] = {"finished": {}, "waiting": {}}
    for kind, size in bench.turns("growth", tables):
        server.bring_back(f"{kind}_{size}")
        server.ask("CHECKPOINT")
        site = bench.site(OURS, "postgresql", setup=False)
        rates[kind].setdefault(str(size), []).append(site.drain_head(bench.extent.head))
    # Without other rows, both tables are the same.
    rates["waiting"] = {"0": rates["finished"]["0"], **rates["waiting"]}
    return {"tasks": bench.extent.head, "rates": rates}


def table(bench: Bench, kind: str, size: int, head: int) -> Site:
    """Create a table of `head` tasks to measure and `size` other rows."""
    site = bench.site(OURS, "postgresql")
    site.ask("fill", 0, head)
    if size:
        site.ask("run", "grow", kind, size)
    bench.server("postgresql").settle()
    return site
