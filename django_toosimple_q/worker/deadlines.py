"""What keeps its time whatever the tasks and the database do: signals, deadlines, the pulse."""

import time

from django_toosimple_q.worker.background import BackgroundThread
from django_toosimple_q.worker.execution.deadline import ThreadSlot
from django_toosimple_q.worker.execution.hard_timeout import HardTimeout
from django_toosimple_q.worker.liveness import Liveness
from django_toosimple_q.worker.outage import Unresponsive
from django_toosimple_q.worker.processes.watchdog import Watchdog

# How often signals and deadlines are looked at while tasks run: in threads, which no signal
# interrupts, and in the main thread, where this is for those that keep to C code.
THREADS_SECONDS = 0.03
MAIN_THREAD_SECONDS = 0.1


class Deadlines:
    """A thread that no query holds up. It acts where the threads of the tasks cannot.

    `hard_timeout` is None where the process is not the worker's own, which it would end.
    """

    def __init__(
        self, liveness: Liveness, watchdog: Watchdog, hard_timeout: HardTimeout | None
    ) -> None:
        self.liveness = liveness
        self.registration = liveness.registration
        self.watchdog = watchdog
        self.hard_timeout = hard_timeout
        self.unresponsive = Unresponsive()
        self.thread = BackgroundThread(
            "deadlines",
            self.registration.options.beat / 2,
            self.show_pulse,
            self.check,
            lambda: liveness.in_flight.busy,
            lambda: THREADS_SECONDS if self.slots else MAIN_THREAD_SECONDS,
        )

    @property
    def slots(self) -> list[ThreadSlot]:
        """Return the slots whose tasks no signal interrupts."""
        return [slot for slot in self.liveness.runner.slots if isinstance(slot, ThreadSlot)]

    def show_pulse(self) -> None:
        """Show the supervisor that this process runs Python; report an unresponsive database."""
        self.registration.scoreboard.beat()
        self.watchdog.feed()
        self.liveness.check()
        self.unresponsive.check(
            self.liveness.heartbeat.acting_since, time.monotonic(), self.registration.label
        )

    def check(self) -> None:
        """Act on signals and deadlines."""
        self.liveness.shutdown.apply_pending()
        self.liveness.check()
        for slot in self.slots:
            slot.check()
        if self.hard_timeout is None:
            return
        if self.liveness.silent:
            self.hard_timeout.end_if_stuck()
        else:
            self.hard_timeout.check()
