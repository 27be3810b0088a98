"""Look after the others: declare the dead, rescue what they held, revive what is known again."""

import time
from datetime import datetime, timedelta
from typing import NamedTuple

from django_toosimple_q import conf, signals
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.task_execs.rescue import Rescue
from django_toosimple_q.worker.identity import gone
from django_toosimple_q.worker.options import beat_seconds

LOOKS = 2
# A beat may come a little early.
ALMOST = 0.9
PRUNING_SECONDS = 0.5
WORKERS_KEPT = timedelta(days=1)
WORKERS_PRUNED_EVERY = timedelta(hours=1)


class Look(NamedTuple):
    """How often a worker was seen with its present heartbeat, at least one beat apart.

    `moment` is the last of these times, by `time.monotonic`.
    """

    last_tick: datetime
    looks: int
    moment: float


class Maintenance:
    """One worker's look at the others; `run_once` follows each of its own successful beats.

    A stale heartbeat alone proves nothing: after an outage of the database everybody's is stale.
    A worker is dead that was stale and has not beaten over two beats of ours (`patient`), or
    whose process is known to be gone. Where we were kept from beating ourselves, what we saw
    before does not count. A worker that drains and returns cannot wait.
    """

    def __init__(self, me: WorkerStatus, *, patient: bool) -> None:
        self.me = me
        self.patient = patient
        self.seen: dict[int, Look] = {}
        self.looked = 0.0
        self.ownerless: dict[int, float] = {}
        self.revived = False
        self.pruned_workers: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """Return how many rows were given back."""
        self._declare(now)
        rescued = self._rescue(now)
        if not self.revived:
            self._revive()
        if self.patient:
            self._prune(now)
        return rescued

    def _declare(self, now: datetime) -> None:
        others = [row for row in workers.alive() if row.pk != self.me.pk]
        moment = time.monotonic()
        if moment - self.looked > LOOKS * beat_seconds(self.me.timeout.total_seconds()):
            self.seen = {}
        self.looked = moment
        self.seen = {row.pk: self._looked(row, moment) for row in others}
        for row in others:
            if gone(row, self.me.place):
                # Its process is gone: nobody beats for it, whatever its timeout says.
                workers.declare_gone(row, now)
            elif row.last_tick < now - row.timeout and (
                not self.patient or self.seen[row.pk].looks > LOOKS
            ):
                workers.declare_dead(row, now)

    def _looked(self, row: WorkerStatus, moment: float) -> Look:
        before = self.seen.get(row.pk)
        if before is None or before.last_tick != row.last_tick:
            return Look(row.last_tick, 1, moment)
        if moment - before.moment < beat_seconds(row.timeout.total_seconds()) * ALMOST:
            # Beats of ours that were held up come in a bunch.
            return before
        return Look(row.last_tick, before.looks + 1, moment)

    def _rescue(self, now: datetime) -> int:
        count = 0
        while rescued := task_execs.rescue(now):
            self._tell(rescued)
            count += len(rescued)
        return count + self._rescue_ownerless(now)

    def _rescue_ownerless(self, now: datetime) -> int:
        """Rescue rows whose worker's row is gone, once their worker had time to come back."""
        moment = time.monotonic()
        found = task_execs.orphans()
        self.ownerless = {pk: self.ownerless.get(pk, moment) for pk in found}
        patience = self.me.timeout.total_seconds() if self.patient else 0
        overdue = [pk for pk, since in self.ownerless.items() if moment - since >= patience]
        rescued = task_execs.rescue_orphans(overdue, now)
        self._tell(rescued)
        return len(rescued)

    def _revive(self) -> None:
        names = list(tasks_registry)
        while task_execs.revive(names):
            pass
        self.revived = True

    def _prune(self, now: datetime) -> None:
        """Delete what ended long ago, for a short while; the rest comes with the next beats."""
        conditions = task_execs.expired(conf.get("TOOSIMPLEQ_RETENTION"), now)
        until = time.monotonic() + PRUNING_SECONDS
        while task_execs.prune(conditions) and time.monotonic() < until:
            pass
        if self.pruned_workers is None or now - self.pruned_workers > WORKERS_PRUNED_EVERY:
            self.pruned_workers = now
            task_execs.prune_workers(now - WORKERS_KEPT)

    def _tell(self, rescued: list[Rescue]) -> None:
        for one in rescued:
            signals.task_rescued.send_robust(
                sender=self.me.label, rescue=one, label=f"#{one.worker_id}"
            )
