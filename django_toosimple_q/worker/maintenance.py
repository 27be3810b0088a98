"""Care for the whole queue: declare dead workers, rescue their rows, prune what is old."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import inf
from typing import NamedTuple

from django_toosimple_q import code_version, conf, signals
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.moments import AHEAD, aware
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import minutes, task_execs, workers
from django_toosimple_q.store.prune import Expired
from django_toosimple_q.store.rescue import Rescue
from django_toosimple_q.store.transaction import passing_over_locks
from django_toosimple_q.throttle import Throttle
from django_toosimple_q.worker.options import beat_seconds
from django_toosimple_q.worker.registration import Registration, gone

SIGHTINGS = 2
# A beat may come a little early.
ALMOST = 0.9
PRUNING_SECONDS = 0.5
WORKERS_KEPT = timedelta(days=1)
# For how long figures are kept by the minute, and in longer spans.
BY_MINUTE_KEPT = timedelta(hours=2)
MINUTES_KEPT = timedelta(days=30)
OLD_REPORTED_EVERY_SECONDS = 60
WORKERS_PRUNED_EVERY_SECONDS = 3600
# How long after the clock has jumped ahead pruning does not delete most of what there is.
JUMP_REMEMBERED = timedelta(days=1)
DEFERRED_SECONDS = 60


def is_old(row: WorkerStatus) -> bool:
    """Return whether a worker of django-toosimple-q 1.x has made a row: it knows no process."""
    return not row.incarnation and row.pid is None


class Sighting(NamedTuple):
    """How often a worker was seen with its present heartbeat, at least one beat apart.

    `moment` is the last of these times, by `time.monotonic`.
    """

    last_tick: datetime
    times: int
    moment: float


class Maintenance:
    """What one worker does for the others; `run_once` follows each of its own heartbeats.

    A stale heartbeat alone proves nothing: after an outage of the database every one is stale. A
    worker is dead when its heartbeat is stale and stays unchanged over two beats of ours
    (`patient`), or when its process is known to be gone. When our own beats were held up, earlier
    sightings do not count. A worker in a transaction of a caller's has no beats to wait for, and is
    not patient.
    """

    def __init__(self, registration: Registration, *, patient: bool) -> None:
        self.registration = registration
        self.patient = patient
        self.seen: dict[int, Sighting] = {}
        # Whose heartbeat is stale, and who may still be alive.
        self.undecided: set[int] = set()
        self.checked_at = 0.0
        self.ownerless: dict[int, float] = {}
        self.requeued_known = False
        self.pruned_workers = -inf
        self.latest_now: datetime | None = None
        # When to look again whether pruning waits, and whether that was reported.
        self.deferred_until = -inf
        self.deferral_reported = False
        # The quarter of an hour up to which figures are summed up.
        self.summed_up = 0
        # The labels of workers of 1.x that may be alive.
        self.old: list[str] = []
        self.old_reports = Throttle(OLD_REPORTED_EVERY_SECONDS)

    def run_once(self, now: datetime, *, jumped: bool = False) -> int:
        """Return how many rows may be claimed because of it.

        jumped: the clock may have jumped far ahead.
        """
        if jumped:
            workers.mark_clock_jumped(self.registration.worker_id, now)
        if self.latest_now is None or now < self.latest_now - AHEAD:
            self._set_back(now)
        self.latest_now = now
        others = [row for row in workers.alive() if row.pk != self.registration.worker_id]
        self._find_old_workers(others, now)
        undecided = self._declare(others, now)
        count = self._rescue(now)
        # A worker of 1.x would make them INVALID again, even after they have run.
        if not self.requeued_known and not self.old:
            count += self._requeue_known()
        if self.patient:
            self._prune(now)
        # Now that their rows wait again, if they are dead.
        self.undecided = undecided
        return count

    def _find_old_workers(self, others: Sequence[WorkerStatus], now: datetime) -> None:
        """Report workers of 1.x that may be alive; once they are gone, requeue what they met."""
        old = [row.label for row in others if is_old(row) and not row.is_silent(now)]
        if old and self.old_reports.passes(time.monotonic()):
            signals.old_worker_seen.send_robust(sender=self.registration.label, labels=old)
        if self.old and not old:
            self.requeued_known = False
        self.old = old

    def _declare(self, others: Sequence[WorkerStatus], now: datetime) -> set[int]:
        """Declare those dead who are; return those who may be."""
        moment = time.monotonic()
        if moment - self.checked_at > SIGHTINGS * beat_seconds(self.registration.options.timeout):
            self.seen = {}
        self.checked_at = moment
        self.seen = {row.pk: self._sighted(row, moment) for row in others}
        undecided = set()
        for row in others:
            if gone(row, self.registration.row.host_id):
                # Its process is gone, so no heartbeat will follow, whatever its timeout says.
                with passing_over_locks():
                    workers.declare_gone(row, now)
            elif not row.is_silent(now):
                continue
            elif self.seen[row.pk].times <= SIGHTINGS and (
                # A heartbeat that lies ahead is stale only if none follows it.
                self.patient or aware(row.last_tick) >= now
            ):
                undecided.add(row.pk)
            else:
                # A lock on its row keeps its own heartbeat out as well: then it is seen anew.
                del self.seen[row.pk]
                with passing_over_locks():
                    workers.declare_dead(row, now)
        return undecided

    def _sighted(self, row: WorkerStatus, moment: float) -> Sighting:
        before = self.seen.get(row.pk)
        if before is None or before.last_tick != row.last_tick:
            return Sighting(row.last_tick, 1, moment)
        if moment - before.moment < beat_seconds(row.timeout.total_seconds()) * ALMOST:
            # Our own beats come close together after they were held up.
            return before
        return Sighting(row.last_tick, before.times + 1, moment)

    def _rescue(self, now: datetime) -> int:
        count = 0
        while rescued := task_execs.rescue(now):
            self._report(rescued)
            count += len(rescued)
        return count + self._rescue_ownerless(now)

    def _rescue_ownerless(self, now: datetime) -> int:
        """Rescue rows whose worker's row was deleted, once it had time to recreate it."""
        moment = time.monotonic()
        found = task_execs.orphans()
        self.ownerless = {pk: self.ownerless.get(pk, moment) for pk in found}
        patience = self.registration.options.timeout if self.patient else 0
        overdue = [pk for pk, since in self.ownerless.items() if moment - since >= patience]
        rescued: list[Rescue] = []
        with passing_over_locks():
            rescued = task_execs.rescue_orphans(overdue, now)
        self._report(rescued)
        return len(rescued)

    def _requeue_known(self) -> int:
        """Queue the rows again that were INVALID because no worker could begin them."""
        names, version, count = list(tasks_registry), code_version.own(), 0
        while requeued := task_execs.requeue_known(names, version):
            count += requeued
        self.requeued_known = True
        return count

    def _set_back(self, now: datetime) -> None:
        """Set back what was queued while the clock was ahead."""
        count = 0
        with passing_over_locks():
            while batch := task_execs.set_back(now):
                count += batch
        if count:
            signals.moments_set_back.send_robust(sender=self.registration.label, count=count)

    def _prune(self, now: datetime) -> None:
        """Delete what ended long ago, for a short while; the rest comes with the next beats."""
        conditions = task_execs.expired(conf.get("TOOSIMPLEQ_RETENTION"), now)
        if self._defers(conditions, now):
            return
        until = time.monotonic() + PRUNING_SECONDS
        while task_execs.prune(conditions) and time.monotonic() < until:
            pass
        with passing_over_locks():
            self._prune_minutes(now)
        moment = time.monotonic()
        if moment - self.pruned_workers > WORKERS_PRUNED_EVERY_SECONDS:
            self.pruned_workers = moment
            with passing_over_locks():
                task_execs.prune_workers(now - WORKERS_KEPT)

    def _defers(self, conditions: Sequence[Expired], now: datetime) -> bool:
        """Return whether pruning waits: the clock jumped ahead, and most rows would be deleted."""
        moment = time.monotonic()
        if moment < self.deferred_until:
            return True
        if not workers.has_clock_jumped(now - JUMP_REMEMBERED, now):
            self.deferral_reported = False
            return False
        expired, kept = task_execs.count_expired(conditions), task_execs.remaining(conditions)
        if expired <= kept:
            return False
        self.deferred_until = moment + DEFERRED_SECONDS
        if not self.deferral_reported:
            self.deferral_reported = True
            signals.pruning_deferred.send_robust(
                sender=self.registration.label, expired=expired, kept=kept
            )
        return True

    def _prune_minutes(self, now: datetime) -> None:
        """Sum up the figures of a quarter of an hour that is long over; delete very old ones."""
        quarter = minutes.minute_of(now - BY_MINUTE_KEPT) // minutes.LONG_SPAN
        if quarter != self.summed_up and not minutes.sum_up(
            self.registration.worker_id, quarter * minutes.LONG_SPAN
        ):
            self.summed_up = quarter
            minutes.prune(minutes.minute_of(now - MINUTES_KEPT))

    def _report(self, rescued: list[Rescue]) -> None:
        for one in rescued:
            signals.task_rescued.send_robust(
                sender=self.registration.label, rescue=one, label=f"#{one.worker_id}"
            )
