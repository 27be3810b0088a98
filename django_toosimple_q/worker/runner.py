"""Where claimed rows run: in the main thread, or in a pool of threads."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from django_toosimple_q import signals
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.notify.wakeup import WakeUp
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.step import is_lost, queue_connection
from django_toosimple_q.task import Task
from django_toosimple_q.worker.batch import BatchSize
from django_toosimple_q.worker.boundary import Boundary, drop_connections, read_umask
from django_toosimple_q.worker.deadline import MainThreadSlot, Slot, ThreadSlot, main_thread
from django_toosimple_q.worker.executor import execute
from django_toosimple_q.worker.hands import Hands

# What a thread of the pool waits that met a database out of reach.
REST_SECONDS = 1.0
# What a suspect may wait at first until nothing else runs in its pool.
PATIENCE_SECONDS = 1.0
# A connection that no task has used for so long is looked at before one does.
IDLE_SECONDS = 5.0


class Runner:
    """Runs rows one after the other in the calling thread."""

    def __init__(self, hands: Hands, now: Callable[[], datetime], wakeup: WakeUp) -> None:
        self.hands = hands
        self.now = now
        self.wakeup = wakeup
        self.slots: list[Slot] = [MainThreadSlot() if main_thread() else Slot()]
        self.batch = BatchSize()
        self.skipped_names: set[str] = set()
        # Names without a task, and what becomes of their rows, that were told: once in a life.
        self.told_names: set[tuple[str, bool]] = set()
        self.count = 0
        # What ended a thread that runs tasks, other than their own errors.
        self.crash: BaseException | None = None
        # When the database was lost, by the monotonic clock: connections from before are suspect.
        self.lost_at = -inf

    def start(self) -> None:
        """Make ready to run."""
        self.slots[0].connection = queue_connection()

    def work(self, go_on: Callable[[], bool]) -> None:
        """Run what is ready, as long as the worker is to go on."""
        began, before = time.monotonic(), self.count
        boundary = Boundary()
        while go_on():
            claimed = self.hands.take()
            if claimed is None:
                break
            self.run_task(claimed, self.slots[0], boundary)
        self.batch.observe(self.count - before, time.monotonic() - began)

    def wanted(self) -> int:
        """Return how many rows to claim now."""
        return self.batch.limit

    def make_way(self) -> None:
        """Give back what keeps others from running here and cannot run itself."""

    def finish(self) -> None:
        """Return when nothing runs any more."""

    @property
    def cut_off(self) -> int:
        """Return how many calls were cut off."""
        return sum(max(slot.cut_off, slot.lost) for slot in self.slots)

    def interrupt(self, reason: str, after_seconds: float = 0) -> None:
        """Cut off what runs after so many seconds."""
        for slot in self.slots:
            slot.interrupt(reason, after_seconds)

    def run_task(self, claimed: Claimed, slot: Slot, boundary: Boundary) -> None:
        """Run one call and keep its outcome until the next turn-over."""
        self.freshen(slot)
        task = tasks_registry.find(claimed)
        if task is None and self.left_to_others(claimed):
            return
        if task is not None and task.lane and not claimed.lane:
            self.queue_in_lane(claimed, task)
            return
        slot.occupy(claimed)
        try:
            signals.task_started.send_robust(sender=Task, claimed=claimed)
            if task is not None and task.atomic:
                outcome, kept = self.run_atomic(claimed, slot)
            else:
                outcome = execute(claimed, self.now, slot, boundary)
                kept = self.keep(claimed, outcome, slot)
        finally:
            slot.vacate()
        self.count += 1
        if kept:
            signals.task_finished.send_robust(sender=Task, claimed=claimed, outcome=outcome)

    def run_atomic(self, claimed: Claimed, slot: Slot) -> tuple[Outcome, bool]:
        """Run a call whose effects and outcome are committed together."""
        outcome, written = task_execs.run_atomically(
            lambda: execute(claimed, self.now, slot), claimed, self.hands.me.pk, self.now
        )
        return outcome, self.keep(claimed, None if written else outcome, slot)

    def keep(self, claimed: Claimed, outcome: Outcome | None, slot: Slot) -> bool:
        """Put an outcome into the hands; False when it is dropped."""
        if slot.lost or slot.struck:
            # What was given up on had its connection closed underneath; what was cut off may have
            # been in the middle of a query.
            drop_connections()
        return self.hands.put(claimed, outcome)

    def freshen(self, slot: Slot) -> None:
        """Let go of connections that may have died while nothing ran, before a task meets them."""
        now = time.monotonic()
        if slot.fresh_at < self.lost_at:
            drop_connections()
        elif now - slot.fresh_at > IDLE_SECONDS:
            drop_connections(only_unusable=True)
        slot.fresh_at = now

    def queue_in_lane(self, claimed: Claimed, task: Task[Any, Any]) -> None:
        """Let a row from before its task was limited take its turn among the limited ones."""
        with self.kept_in_hand(claimed):
            # A copy: should the database not answer, it is still one that may not run here.
            self.hands.hand_back(self.now(), [replace(claimed, lane=task.lane)])

    def left_to_others(self, claimed: Claimed) -> bool:
        """See whether another worker knows a row's task."""
        with self.kept_in_hand(claimed):
            return self.known_elsewhere(claimed)

    @contextmanager
    def kept_in_hand(self, claimed: Claimed) -> Iterator[None]:
        """Keep a row that was taken to run in hand when the database does not answer."""
        try:
            yield
        except BaseException:
            self.hands.put_back(claimed)
            raise

    def known_elsewhere(self, claimed: Claimed) -> bool:
        """Leave a row to a worker that knows its task, if there is one that lives."""
        others = [row for row in workers.alive() if row.pk != self.hands.me.pk]
        elsewhere = workers.knows(others, claimed.task_name, self.now())
        if elsewhere:
            self.skipped_names.add(claimed.task_name)
            self.hands.hand_back(self.now(), [claimed])
        self.tell_unknown(claimed.task_name, elsewhere)
        return elsewhere

    def tell_unknown(self, name: str, left: bool) -> None:
        """Tell once of a name without a task: its rows come by again at each beat."""
        if (name, left) not in self.told_names:
            self.told_names.add((name, left))
            signals.unknown_task.send_robust(sender=self.hands.me.label, name=name, left=left)


class Pool(Runner):
    """Runs rows in threads, each with connections of its own."""

    def __init__(
        self, hands: Hands, now: Callable[[], datetime], wakeup: WakeUp, size: int
    ) -> None:
        super().__init__(hands, now, wakeup)
        self.slots = [ThreadSlot() for _ in range(size)]
        self.batch = BatchSize(size)
        self.threads: list[threading.Thread] = []
        self.changed = threading.Condition()
        self.closing = False
        # Since when a suspect has waited for the other threads, and for how long it may.
        self.kept_since: float | None = None
        self.patience = PATIENCE_SECONDS
        self.go_on: Callable[[], bool] = lambda: True

    def start(self) -> None:
        self.mask = read_umask()
        for number, slot in enumerate(self.slots):
            name = f"toosimpleq-task-{number}"
            thread = threading.Thread(target=self._run, args=(slot,), name=name, daemon=True)
            self.threads.append(thread)
            thread.start()

    def work(self, go_on: Callable[[], bool]) -> None:
        """Let the threads run what is ready; return at once."""
        self.go_on = go_on
        with self.changed:
            self.changed.notify(len(self.hands.ready))

    def wanted(self) -> int:
        # What waits in hand counts: a row is only claimed when a thread will soon take it.
        if self.hands.suspects():
            return 0
        return max(0, self.batch.limit - len(self.hands.ready) - len(self.hands.running))

    def make_way(self) -> None:
        """Postpone a suspect that has waited too long for the other threads to end.

        Each time it may wait twice as long, with threads that idle, and then stays away as long:
        long tasks leave it a moment in the end, and others half of the time at least.
        """
        now = time.monotonic()
        if not self.hands.suspect_waits():
            self.kept_since = None
        elif self.kept_since is None:
            self.kept_since = now
        elif now - self.kept_since > self.patience:
            self.hands.postpone_suspect(self.now(), self.patience)
            self.kept_since = None
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
            self._run_tasks(slot)
        except BaseException as error:
            # The worker's own loop ends with it: what the thread held would stay in hand for ever.
            self.crash = error
            self.wakeup.set()
        finally:
            connections.close_all()

    def _run_tasks(self, slot: ThreadSlot) -> None:
        slot.enter()
        slot.connection = queue_connection()
        boundary = Boundary(self.mask)
        while True:
            claimed = self._next()
            if claimed is None:
                return
            began = time.monotonic()
            try:
                self.run_task(claimed, slot, boundary)
            except (DatabaseError, InterfaceError) as error:
                if not is_lost(error):
                    raise
                # Nothing ran: the row is in hand again, and the worker's loop tells of it.
                connections.close_all()
                self._rest()
                continue
            self.batch.observe(1, time.monotonic() - began)
            if claimed.deaths:
                # It ran alone: the others waited for it.
                self.patience = PATIENCE_SECONDS
                with self.changed:
                    self.changed.notify_all()
            if len(self.hands.ready) < len(self.slots):
                self.wakeup.set()

    def _rest(self) -> None:
        """Leave a database that is out of reach alone for a moment."""
        with self.changed:
            if not self.closing:
                self.changed.wait(REST_SECONDS)

    def _next(self) -> Claimed | None:
        """Wait for a row to run; None when the worker closes."""
        with self.changed:
            while not self.closing:
                claimed = self.hands.take() if self.go_on() else None
                if claimed is not None:
                    return claimed
                self.changed.wait()
            return None
