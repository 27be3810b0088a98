"""What is wrong with the queue: one answer for the check, the command line, and views."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.utils import translation

from django_toosimple_q import overview
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.moments import aware
from django_toosimple_q.overview import QueueFigures, WorkerFigures, findings
from django_toosimple_q.overview.findings import Finding
from django_toosimple_q.store import workers
from django_toosimple_q.text import span


class Kind(StrEnum):
    """What kind of problem it is, the most severe first."""

    NO_WORKER = "no_worker"
    UNATTENDED = "unattended"
    LATE = "late"
    FAILURES = "failures"


@dataclass(frozen=True)
class Problem:
    """A fact that a person should know, and its cure. `queue` is "" if it concerns all.

    It is in English, as commands, checks and probes are. Pages have `overview.findings`.
    """

    kind: Kind
    queue: str
    fact: str
    cure: str

    @classmethod
    def of(cls, kind: Kind, queue: str, say: Callable[..., Finding], *values: Any) -> "Problem":
        """Return a problem in the words of a finding."""
        with translation.override(None):
            return cls(kind, queue, *say(*values))

    def described(self) -> dict[str, str]:
        """Return the problem as values that JSON has."""
        return {
            "kind": self.kind.value,
            "queue": self.queue,
            "fact": self.fact,
            "cure": self.cure,
        }


@dataclass(frozen=True)
class Health:
    """How the queue stands at `now` (aware), by the database's clock.

    workers: the living ones. failures: how many calls failed for good within the last hour.
    scheduled: how many are due later, 10,000 at most; then `more_scheduled` is true. next_due: when
    the first of them is. held: how many wait for a person.
    """

    now: datetime
    queues: Sequence[QueueFigures]
    workers: Sequence[WorkerFigures]
    failures: int
    scheduled: int
    more_scheduled: bool
    next_due: datetime | None
    held: int

    def labels(self, queue: QueueFigures) -> list[str]:
        """Return the labels of the living workers that take a queue."""
        return [one.row.label for one in self.workers if one.takes(queue.name)]

    def wait(self, queue: QueueFigures) -> timedelta | None:
        """Return for how long the oldest call of a queue has waited."""
        return None if queue.oldest is None else findings.waited(queue, self.now)

    def problems(
        self, max_wait: float | None = None, max_failures: int | None = None
    ) -> list[Problem]:
        """Return what is wrong, the most severe first.

        A call may wait for `max_wait` seconds, and `max_failures` may fail within an hour. None
        does not look at that.
        """
        found = [*self._workers(), *self.unattended()]
        if max_wait is not None:
            found += self._late(max_wait)
        if max_failures is not None and self.failures > max_failures:
            found.append(Problem.of(Kind.FAILURES, "", findings.failed, self.failures))
        return found

    def unattended(self) -> list[Problem]:
        """Return the queues in which calls wait that no living worker takes."""
        return [
            Problem.of(Kind.UNATTENDED, queue.name, findings.unattended, [queue], self.now)
            for queue in self.queues
            if queue.unattended
        ]

    def described(self, problems: Sequence[Problem]) -> dict[str, Any]:
        """Return how the queue stands, with these problems, as values that JSON has."""
        return {
            "queues": [self._queue(queue) for queue in self.queues],
            "workers": [_worker(one.row) for one in self.workers],
            "failures_last_hour": self.failures,
            "scheduled": self.scheduled,
            "more_scheduled": self.more_scheduled,
            "next_due": None if self.next_due is None else aware(self.next_due).isoformat(),
            "held": self.held,
            "problems": [one.described() for one in problems],
        }

    def _queue(self, queue: QueueFigures) -> dict[str, Any]:
        wait = self.wait(queue)
        return {
            "name": queue.name,
            "waiting": queue.waiting,
            "more_wait": queue.more,
            "oldest_wait_seconds": None if wait is None else round(wait.total_seconds(), 3),
            "running": queue.running,
            "paused": queue.paused is not None,
            "workers": self.labels(queue),
        }

    def _workers(self) -> Iterator[Problem]:
        if not self.workers:
            yield Problem.of(Kind.NO_WORKER, "", findings.no_worker, self.queues, self.now)

    def _late(self, max_wait: float) -> Iterator[Problem]:
        for queue in self.queues:
            wait = self.wait(queue)
            if wait is not None and queue.paused is None and wait.total_seconds() > max_wait:
                yield Problem.of(Kind.LATE, queue.name, findings.late, [queue], self.now)


def read() -> Health:
    """Read how the queue stands, by a few short queries however many calls wait."""
    present = overview.read(workers.clock())
    return Health(
        now=aware(present.now),
        queues=present.queues,
        workers=present.alive,
        failures=present.last_hour.failures,
        scheduled=present.sleeping,
        more_scheduled=present.sleeping_more,
        next_due=present.next_due,
        held=present.held,
    )


def counted(queue: QueueFigures) -> str:
    """Return how many calls of a queue wait, with a "+" where more may."""
    return f"{queue.waiting}{'+' if queue.more else ''}"


def words(delta: timedelta | None) -> str:
    """Return a duration in its largest unit, as "12 min"."""
    return span(delta or timedelta(0), 1)


def _worker(row: WorkerStatus) -> dict[str, Any]:
    return {
        "label": row.label,
        "host": row.host,
        "pid": row.pid,
        "queues": row.included_queues,
        "excluded_queues": row.excluded_queues,
        "started": aware(row.started).isoformat(),
    }
