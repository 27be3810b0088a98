"""Drain on SQLite: ours and every peer that runs on it."""

from typing import Any

from harness.bench import Bench
from harness.contest import contest


def measure(bench: Bench) -> dict[str, Any]:
    return contest(bench, "sqlite", "sqlite", bench.extent.sqlite_tasks)
