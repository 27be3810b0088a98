"""A worker's sign of life, and what follows when the database does not answer it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db import DatabaseError, InterfaceError, connections

from django_toosimple_q import signals
from django_toosimple_q.store import workers
from django_toosimple_q.store.transaction import hang_up, is_refused
from django_toosimple_q.wakeups.pipe import WakeUp
from django_toosimple_q.worker.background import BackgroundThread
from django_toosimple_q.worker.execution.runner import Runner
from django_toosimple_q.worker.in_flight import InFlight
from django_toosimple_q.worker.outage import Silence
from django_toosimple_q.worker.processes.shutdown import Shutdown
from django_toosimple_q.worker.registration import Registration


class Asks(Protocol):
    """A thread that asks the database: its connection, and since when it waits for an answer."""

    connection: Any
    acting_since: float | None


@dataclass
class Asking:
    """The worker's own thread as one that asks."""

    connection: Any
    acting_since: float | None = None


class Liveness:
    """The heartbeat of one worker, and whether others may have declared the worker dead.

    No lock holds the thread of the heartbeat up, and no query the one that calls `check`.
    """

    def __init__(
        self,
        registration: Registration,
        in_flight: InFlight,
        runner: Runner,
        shutdown: Shutdown,
        wakeup: WakeUp,
        now: Callable[[], datetime],
    ) -> None:
        self.registration = registration
        self.in_flight = in_flight
        self.runner = runner
        self.shutdown = shutdown
        self.wakeup = wakeup
        self.now = now
        self.timeout, beat = registration.options.timeout, registration.options.beat
        self.heartbeat = BackgroundThread("heartbeat", beat, self.beat)
        self.prober = BackgroundThread("probe", beat / 2, self.probe)
        self.silence = Silence(self.timeout, beat)
        # The other threads of the worker that ask the database.
        self.beside: Sequence[Asks] = ()
        # We were declared dead.
        self.fenced = False
        # Why tasks are cut off: others may have declared us dead.
        self.silent = ""

    def beat(self) -> None:
        """Record a heartbeat; after we were declared dead, interrupt what runs elsewhere by now."""
        self.silence.ask(time.monotonic())
        alive = self.registration.beat() or self.restored()
        # Before anything goes on.
        self.fenced = self.fenced or not alive
        self.heard()
        if alive:
            return
        self.wakeup.set()
        elsewhere = self.in_flight.not_ours()
        if elsewhere and not self.shutdown.requested:
            self.shutdown.interrupt(
                f"declared dead while paused, task {elsewhere[0]} runs elsewhere"
            )

    def restored(self) -> bool:
        """Recreate our row if it was deleted; False when we were declared dead instead."""
        restored = self.in_flight.restore_registration(self.now())
        if restored:
            signals.worker_restored.send_robust(sender=self.registration.label)
        return restored

    def heard(self) -> None:
        """Go on after the database has answered."""
        since = self.silence.answer(time.monotonic())
        if since is not None:
            for one in self.beside:
                # TCP repeats what it sent before that after twice as long each time.
                if one.acting_since is not None and one.acting_since < since:
                    hang_up(one.connection)
            self.wakeup.set()
        if self.silent:
            self.runner.resume(self.silent)
            self.silent = ""

    def probe(self) -> None:
        """Find out whether the server answers at all while a heartbeat has no answer.

        A lock on the workers' rows holds our heartbeat up, and as well what would declare us dead.
        """
        if not self.silence.is_late(time.monotonic()):
            return
        try:
            workers.clock()
        except (DatabaseError, InterfaceError) as error:
            if not is_refused(error):
                raise
        self.silence.reach(time.monotonic())
        # Outside of such times there is none more.
        connections.close_all()

    def check(self) -> None:
        """Cut tasks off when others may have declared us dead and run them as well."""
        now = time.monotonic()
        # One that a lock keeps out counts as the same, and is sent again and again.
        sending = self.heartbeat.acting_since and self.silence.latest
        if self.silence.gives_up(sending, now):
            hang_up(self.heartbeat.connection)
        if self.silence.is_over(now) and not self.silent:
            self.silent = f"the database has not answered for {self.timeout:g} s"
            self.in_flight.mark_interrupted()
            self.runner.interrupt(self.silent)
            signals.worker_silent.send_robust(sender=self.registration.label, seconds=self.timeout)
