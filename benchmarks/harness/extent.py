"""How much is measured: a full run, or just enough to check that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """The sizes of one run.

    tasks: how many ours drains in a round; slower queues drain fewer. queued: how many calls are
    queued one by one. head: how many tasks are measured in a table of each of `sizes`.
    mixed: how many quick and slow calls wait, enough to outlast the `urgent` ones, one a second.
    snapshot_rows: enough rows to last while a transaction is open for `snapshot_seconds`.
    openings: how often each page of the admin is opened.
    """

    name: str
    rounds: int
    tasks: int
    several: int
    processes: tuple[int, ...]
    sqlite_tasks: int
    queued: int
    queued_at_once: int
    pickups: int
    mixed: int
    urgent: int
    cron_seconds: int
    head: int
    sizes: tuple[int, ...]
    snapshot_rows: int
    snapshot_seconds: int
    memory_tasks: int
    idle_seconds: int
    sampled_tasks: int
    openings: int


FULL = Extent(
    name="full",
    rounds=3,
    tasks=60_000,
    several=200_000,
    processes=(1, 2, 3, 4),
    sqlite_tasks=30_000,
    queued=2_000,
    queued_at_once=10_000,
    pickups=150,
    mixed=1_400,
    urgent=20,
    cron_seconds=100,
    head=50_000,
    sizes=(0, 10_000, 100_000, 1_000_000),
    snapshot_rows=1_800_000,
    snapshot_seconds=60,
    memory_tasks=20_000,
    idle_seconds=30,
    sampled_tasks=200_000,
    openings=40,
)
QUICK = Extent(
    name="quick",
    rounds=1,
    tasks=10_000,
    several=60_000,
    processes=(1, 2),
    sqlite_tasks=5_000,
    queued=300,
    queued_at_once=10_000,
    pickups=10,
    mixed=300,
    urgent=3,
    cron_seconds=8,
    head=10_000,
    sizes=(0, 10_000, 100_000),
    snapshot_rows=150_000,
    snapshot_seconds=5,
    memory_tasks=2_000,
    idle_seconds=12,
    sampled_tasks=20_000,
    openings=3,
)
