"""The cost of `queue()` against `Model.objects.create`, and of `queue_many` against `queue()`."""

import json
from dataclasses import replace
from typing import Any

from harness.bench import Bench
from harness.contestants import LIMIT
from harness.environments import Unmeasurable

DATABASES = {
    "postgresql": LIMIT,
    "mariadb": replace(LIMIT, installed="ours_mariadb"),
    "sqlite": LIMIT,
}


def measure(bench: Bench) -> dict[str, Any]:
    """Return the results of each round, by database."""
    found: dict[str, dict[str, list[float]]] = {}
    left_out = set()
    for kind in bench.turns("enqueue", DATABASES):
        if kind in left_out:
            continue
        try:
            site = bench.site(DATABASES[kind], kind)
        except Unmeasurable as problem:
            left_out.add(kind)
            bench.leave_out(f"enqueue on {kind}", problem)
            continue
        answer = site.ask("run", "enqueue", bench.extent.queued, bench.extent.queued_at_once)
        for what, figure in json.loads(answer).items():
            found.setdefault(kind, {}).setdefault(what, []).append(figure)
    return {"at_once": bench.extent.queued_at_once, "databases": found}
