"""Drain on PostgreSQL: ours, `atomic=True`, every peer, and raw psycopg as the limit."""

from typing import Any

from harness.bench import Bench
from harness.contest import contest


def measure(bench: Bench) -> dict[str, Any]:
    return contest(bench, "drain", "postgresql", bench.extent.tasks)
