"""The parts of a run. Each is a function that takes the run and returns its figures."""

from collections.abc import Callable
from typing import Any

from harness.bench import Bench
from parts import (
    admin,
    cron,
    drain,
    enqueue,
    growth,
    hotspots,
    idle,
    latency,
    memory,
    mixed,
    processes,
    snapshot,
    sqlite,
)

PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "drain": drain.measure,
    "sqlite": sqlite.measure,
    "processes": processes.measure,
    "enqueue": enqueue.measure,
    "latency": latency.measure,
    "mixed": mixed.measure,
    "cron": cron.measure,
    "growth": growth.measure,
    "snapshot": snapshot.measure,
    "memory": memory.measure,
    "idle": idle.measure,
    "hotspots": hotspots.measure,
    "admin": admin.measure,
}
