"""The present: which queues have calls that wait, which workers live, and what they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django_toosimple_q.models import ScheduleExec, WorkerStatus
from django_toosimple_q.moments import aware
from django_toosimple_q.overview.failures import open_failures
from django_toosimple_q.overview.figures import Ends, by_queue, throughput
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import overview as store
from django_toosimple_q.store.queues import WAITING_COUNTED

# A worker writes a heartbeat every five seconds at least. One that has not for so long is late.
HEARTBEAT_LATE = timedelta(seconds=30)
ENDED_SHOWN = timedelta(hours=1)
RATE_OVER = timedelta(minutes=5)


@dataclass(frozen=True)
class WorkerFigures:
    """A worker: its row, how many calls it holds, and whether it lives.

    alive: it has not ended, and its heartbeat is not late. gone: it died, or may have died.
    """

    row: WorkerStatus
    running: int
    alive: bool
    gone: bool

    def takes(self, queue: str) -> bool:
        """Return whether it takes calls from this queue."""
        included, excluded = self.row.included_queues, self.row.excluded_queues
        return queue in included if included else queue not in (excluded or ())


@dataclass(frozen=True)
class QueueFigures:
    """A queue: what waits and runs, and how fast it empties.

    waiting: 10,000 at most; then `more` is true. oldest: the oldest due date of these. per_minute:
    how many attempts ended per minute of the last five. workers: how many living ones take it.
    """

    name: str
    paused: datetime | None
    waiting: int
    oldest: datetime | None
    running: int
    per_minute: float
    workers: int

    @property
    def more(self) -> bool:
        """Return whether more wait than were counted."""
        return self.waiting >= WAITING_COUNTED

    @property
    def unattended(self) -> bool:
        """Return whether calls wait that no living worker takes. A paused queue may wait."""
        return bool(self.waiting and not self.workers and self.paused is None)

    @property
    def seconds_to_empty(self) -> float | None:
        """Return how long what waits takes at the present rate; None if nothing will end."""
        if not (self.waiting and self.per_minute and self.workers) or self.paused is not None:
            return None
        return self.waiting / self.per_minute * 60


@dataclass(frozen=True)
class Present:
    """What there is at a moment.

    held: how many interrupted calls wait for a person. failures: how many calls failed for good in
    the last hour and were neither queued again nor dismissed.
    """

    now: datetime
    queues: Sequence[QueueFigures]
    workers: Sequence[WorkerFigures]
    schedules: Sequence[ScheduleExec]
    sleeping: int
    next_due: datetime | None
    held: int
    failures: int
    last_hour: Ends

    @property
    def sleeping_more(self) -> bool:
        """Return whether more are due later than were counted."""
        return self.sleeping >= WAITING_COUNTED

    @property
    def waiting(self) -> int:
        """Return how many calls wait in all queues."""
        return sum(one.waiting for one in self.queues)

    @property
    def running(self) -> int:
        """Return how many calls are claimed or run."""
        return sum(one.running for one in self.queues)

    @property
    def oldest(self) -> datetime | None:
        """Return the oldest due date of what waits in queues that are not paused."""
        dues = [one.oldest for one in self.queues if one.oldest and one.paused is None]
        return min(dues, default=None)

    @property
    def alive(self) -> list[WorkerFigures]:
        """Return the living workers."""
        return [one for one in self.workers if one.alive]


def read(now: datetime) -> Present:
    """Return what there is now, by fifteen statements whatever the number of rows."""
    workers = _workers(now)
    sleeping = store.sleeping(now)
    hour = timedelta(hours=1)
    until = aware(now) + timedelta(minutes=1)
    [last_hour] = throughput(until - hour, until, hour)
    return Present(
        now=now,
        queues=_queues(now, [one for one in workers if one.alive]),
        workers=workers,
        schedules=store.schedules(),
        sleeping=sleeping.waiting,
        next_due=sleeping.oldest,
        held=store.held(),
        failures=len(open_failures(now, hour)),
        last_hour=last_hour.ends,
    )


def _workers(now: datetime) -> list[WorkerFigures]:
    running = store.running_by_worker()
    return [
        worker_figures(row, running.get(row.pk, 0), now) for row in store.workers(now - ENDED_SHOWN)
    ]


def worker_figures(row: WorkerStatus, running: int, now: datetime) -> WorkerFigures:
    """Return the figures of a worker, given its row."""
    late = aware(row.last_tick) < aware(now) - min(row.timeout, HEARTBEAT_LATE)
    ended = row.stopped is not None
    return WorkerFigures(
        row=row,
        running=running,
        alive=not ended and row.rescued is None and not late,
        gone=not ended and (row.rescued is not None or late),
    )


def _queues(now: datetime, alive: Sequence[WorkerFigures]) -> list[QueueFigures]:
    rows = {row.name: row for row in store.queues()}
    running = store.running_by_queue()
    defined = {task.queue_name for task in tasks_registry.values()}
    depths = store.depths(sorted({*rows, *running, *defined}), now)
    # The minute that runs is not over, so its rate would be too low.
    until = aware(now)
    rates = by_queue(until - RATE_OVER, until)
    return [
        QueueFigures(
            name=name,
            paused=rows[name].paused if name in rows else None,
            waiting=depth.waiting,
            oldest=depth.oldest,
            running=running.get(name, 0),
            per_minute=rates[name].total / (RATE_OVER.total_seconds() / 60) if name in rates else 0,
            workers=sum(worker.takes(name) for worker in alive),
        )
        for name, depth in sorted(depths.items())
    ]
