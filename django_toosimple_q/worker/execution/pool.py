"""Run claimed rows in threads, each with connections of its own."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime

from django.db import DatabaseError, InterfaceError, connections

from django_toosimple_q.execution import Claimed
from django_toosimple_q.store.transaction import is_lost, queue_connection
from django_toosimple_q.wakeups.pipe import WakeUp
from django_toosimple_q.worker import platform
from django_toosimple_q.worker.batch_size import BatchSize
from django_toosimple_q.worker.execution.deadline import ThreadSlot, main_thread
from django_toosimple_q.worker.execution.isolation import Isolation
from django_toosimple_q.worker.execution.process_state import ProcessState
from django_toosimple_q.worker.execution.request_state import forget_queries
from django_toosimple_q.worker.execution.runner import Runner
from django_toosimple_q.worker.in_flight import InFlight
from django_toosimple_q.worker.options import WorkerOptions

# How long a thread waits after the database was out of reach.
REST_SECONDS = 1.0
# How long a quarantined row may wait at first until nothing else runs in its pool.
PATIENCE_SECONDS = 1.0


class Pool(Runner):
    """Runs rows in threads, each with connections of its own."""

    def __init__(
        self, in_flight: InFlight, now: Callable[[], datetime], wakeup: WakeUp, size: int
    ) -> None:
        super().__init__(in_flight, now, wakeup)
        self.slots = [ThreadSlot() for _ in range(size)]
        self.batch = BatchSize(size)
        self.threads: list[threading.Thread] = []
        self.changed = threading.Condition()
        self.closing = False
        # Since when a quarantined row has waited for the other threads, and for how long it may.
        self.waiting_since: float | None = None
        self.patience = PATIENCE_SECONDS
        self.go_on: Callable[[], bool] = lambda: True

    def separate(self, stack: ExitStack) -> None:
        # No statement of the queue goes over its threads' connections.
        stack.enter_context(self.scopes.separated())

    def start(self) -> None:
        self.process = ProcessState(main_thread=False)
        for number, slot in enumerate(self.slots):
            name = f"toosimpleq-task-{number}"
            thread = threading.Thread(target=self._run, args=(slot,), name=name, daemon=True)
            self.threads.append(thread)
            thread.start()

    def work(self, go_on: Callable[[], bool]) -> None:
        """Let the threads run what is ready; return at once."""
        forget_queries()
        if self.process is not None:
            self.process.put_back_after_batch()
        self.go_on = go_on
        with self.changed:
            self.changed.notify(len(self.in_flight.ready))

    def wanted(self) -> int:
        # What is in flight counts: a row is only claimed when a thread will soon take it.
        if self.in_flight.has_quarantined():
            return 0
        return max(0, self.batch.limit - len(self.in_flight.ready) - len(self.in_flight.running))

    def make_way(self) -> None:
        """Postpone a quarantined row that has waited too long for the other threads to end.

        Each time it may wait twice as long, with threads that idle, and then stays away as long:
        long tasks leave it a moment in the end, and others half of the time at least.
        """
        now = time.monotonic()
        if not self.in_flight.quarantined_waits():
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = now
        elif now - self.waiting_since > self.patience:
            self.in_flight.postpone_quarantined(self.now(), self.patience)
            self.waiting_since = None
            self.patience *= 2
            self.wakeup.set()

    def finish(self) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()
        if self.crash is not None:
            raise self.crash

    def _run(self, slot: ThreadSlot) -> None:
        try:
            with Isolation(self.process) as isolation:
                self._run_tasks(slot, isolation)
        except BaseException as error:
            # The worker's own loop raises it: what the thread held would stay in flight for ever.
            self.crash = error
            self.wakeup.set()
        finally:
            connections.close_all()

    def _run_tasks(self, slot: ThreadSlot, isolation: Isolation) -> None:
        slot.enter()
        slot.connection = queue_connection()
        while True:
            claimed = self._next()
            if claimed is None:
                return
            began = time.monotonic()
            try:
                self.run_task(claimed, slot, isolation)
            except (DatabaseError, InterfaceError) as error:
                if not is_lost(error):
                    raise
                # Nothing ran: the row is ready again, and the worker's loop reports the outage.
                connections.close_all()
                self._rest()
                continue
            self.batch.observe(claimed.task_name, time.monotonic() - began)
            if claimed.crash_count:
                # It ran alone: the others waited for it.
                self.patience = PATIENCE_SECONDS
                with self.changed:
                    self.changed.notify_all()
            if len(self.in_flight.ready) < len(self.slots):
                self.wakeup.set()

    def _rest(self) -> None:
        """Wait a moment for a database that is out of reach."""
        with self.changed:
            if not self.closing:
                self.changed.wait(REST_SECONDS)

    def _next(self) -> Claimed | None:
        """Wait for a row to run; None when the worker closes."""
        with self.changed:
            while not self.closing:
                claimed = self.in_flight.take() if self.go_on() else None
                if claimed is not None:
                    return claimed
                self.changed.wait()
            return None


def make_runner(
    options: WorkerOptions, in_flight: InFlight, now: Callable[[], datetime], wakeup: WakeUp
) -> Runner:
    """Return what runs the tasks: this thread, or a pool of threads."""
    # A single slot is a thread too where nothing interrupts the main one.
    threaded = options.threads > 1 or (main_thread() and not platform.CAN_ALARM)
    if threaded and not options.inline:
        return Pool(in_flight, now, wakeup, options.threads)
    return Runner(in_flight, now, wakeup)
