"""The pages of the admin in a table with 30 days of work: how long each takes, and its queries."""

import json
from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import CONTESTANTS

OURS = replace(CONTESTANTS["ours"], environment={"BENCH_ADMIN": "1"})


def measure(bench: Bench) -> dict[str, Any]:
    """Return the number of rows, and the milliseconds and the queries of each page."""
    rows = bench.extent.sizes[-1]
    bench.log(f"admin: making a table with {rows:,} rows")
    site = bench.site(OURS, "postgresql")
    site.ask("run", "history", rows)
    bench.server("postgresql").settle()
    bench.log(f"admin: opening each page {bench.extent.openings} times")
    return {"rows": rows, "pages": json.loads(site.ask("run", "pages", bench.extent.openings))}
