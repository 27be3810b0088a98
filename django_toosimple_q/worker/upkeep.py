"""Care for the queue and for the worker's own rows beside the tasks, in a thread of its own."""

import time
from collections.abc import Callable
from datetime import datetime
from math import inf

from django_toosimple_q import wakeups
from django_toosimple_q.store.transaction import queue_connection, queue_database
from django_toosimple_q.worker.background import BackgroundThread
from django_toosimple_q.worker.batch_size import HOLD_SECONDS
from django_toosimple_q.worker.clock import Clock
from django_toosimple_q.worker.execution.runner import Runner
from django_toosimple_q.worker.in_flight import InFlight
from django_toosimple_q.worker.liveness import Liveness
from django_toosimple_q.worker.maintenance import Maintenance

# An outcome is stored after so long at the latest.
FLUSH_SECONDS = 0.05
# How long the pauses are between two ticks while the worker is busy.
SHORTEST_SECONDS = 0.03
LONGEST_SECONDS = 0.1


class Upkeep:
    """What follows each heartbeat, and what is looked after while the worker is busy."""

    def __init__(
        self,
        clock: Clock,
        maintenance: Maintenance,
        in_flight: InFlight,
        runner: Runner,
        liveness: Liveness,
        report_stopping: Callable[[], None],
        *,
        guest: bool,
    ) -> None:
        self.clock = clock
        self.maintenance = maintenance
        self.in_flight = in_flight
        self.runner = runner
        self.liveness = liveness
        self.report_stopping = report_stopping
        self.guest = guest
        beat = maintenance.registration.options.beat
        self.thread = BackgroundThread(
            *("upkeep", beat, self.maintain, self.on_busy_tick, self.busy, self.pause_seconds),
            lambda stop: wakeups.listen_for_cancellations(
                stop, queue_database(), queue_connection().alias
            ),
            lambda: self.in_flight.apply_cancellations(self.now()),
        )

    def busy(self) -> bool:
        """Return whether anything is in flight, or counted and not stored."""
        return self.in_flight.busy or self.in_flight.minutes.pending

    def pause_seconds(self) -> float:
        """Return how long until the main thread should have stored or begun what it holds."""
        due = min(self.flush_at(), self.release_at()) - time.monotonic()
        return min(max(due, SHORTEST_SECONDS), LONGEST_SECONDS)

    def flush_at(self) -> float:
        """Return when outcomes are to be stored, by the monotonic clock; infinite without any."""
        return self.in_flight.finished_since + FLUSH_SECONDS if self.in_flight.finished else inf

    def release_at(self) -> float:
        """Return when claimed rows are to be released, by the monotonic clock."""
        since = self.in_flight.ready_since()
        return inf if since is None else since + HOLD_SECONDS

    def maintain(self) -> None:
        """Care for the queue, and for our own rows in flight."""
        if self.liveness.fenced:
            return
        jumped = False if self.guest else self.clock.synchronize()
        rescued = self.maintenance.run_once(self.now(), jumped=jumped)
        if self.in_flight.reconcile(self.now()) or rescued:
            self.liveness.wakeup.set()
        self.in_flight.apply_cancellations(self.now())
        self.runner.skipped_names.clear()

    def on_busy_tick(self) -> None:
        """Store and release rows while a long task keeps the main thread; store figures."""
        self.report_stopping()
        now = time.monotonic()
        if now >= self.flush_at():
            self.in_flight.flush(self.now())
        self.in_flight.flush_locked(self.now())
        self.in_flight.store_progress()
        if now >= self.release_at():
            self.runner.batch.start_over()
            self.in_flight.release_ready(self.now())
        self.runner.make_way()
        self.in_flight.minutes.write(self.now())

    def now(self) -> datetime:
        """Return the time by the database's clock."""
        return self.clock.now()
