"""Run claimed rows one after the other in the worker's own thread."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import Context, copy_context
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Any

from django_toosimple_q import signals
from django_toosimple_q.execution import Claimed, Outcome, running
from django_toosimple_q.failure import UNKNOWN, failure
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.transaction import queue_connection, queue_database
from django_toosimple_q.task import Task
from django_toosimple_q.wakeups.pipe import WakeUp
from django_toosimple_q.worker.batch_size import BatchSize
from django_toosimple_q.worker.execution import sentry
from django_toosimple_q.worker.execution.deadline import Slot, slot_of_this_thread
from django_toosimple_q.worker.execution.executor import execute, with_exception
from django_toosimple_q.worker.execution.isolation import (
    Isolation,
    LentConnection,
    drop_connections,
)
from django_toosimple_q.worker.execution.process_state import ProcessState
from django_toosimple_q.worker.execution.request_state import forget_queries
from django_toosimple_q.worker.in_flight import InFlight

# A connection that no task has used for so long is checked before one does.
IDLE_SECONDS = 5.0


class Runner:
    """Runs rows one after the other in the calling thread."""

    def __init__(self, in_flight: InFlight, now: Callable[[], datetime], wakeup: WakeUp) -> None:
        self.in_flight = in_flight
        self.now = now
        self.wakeup = wakeup
        self.slots: list[Slot] = [slot_of_this_thread()]
        self.batch = BatchSize()
        self.skipped_names: set[str] = set()
        # Tasks that could not be begun, why, and whether others may: reported once in a life.
        self.reported: set[tuple[str, str, bool]] = set()
        self.count = 0
        # Several threads count.
        self.counting = threading.Lock()
        # What ended a thread that runs tasks, other than their own errors.
        self.crash: BaseException | None = None
        # When the database was lost, by the monotonic clock: older connections may be dead.
        self.lost_at = -inf
        # The tasks' own connection to the database of the queue; None: they share the caller's.
        self.lent: LentConnection | None = None
        self.process: ProcessState | None = None
        self.scopes = sentry.Scopes()

    def separate(self, stack: ExitStack) -> None:
        """Keep tasks off the connection that the queue's own statements go over."""
        stack.enter_context(self.scopes.separated())
        if queue_database().separates_sessions:
            self.lent = LentConnection(queue_connection())
            stack.callback(self.lent.close)

    def start(self) -> None:
        """Make ready to run."""
        self.process = ProcessState()
        with self.connection_of_tasks():
            self.slots[0].connection = queue_connection()

    def work(self, go_on: Callable[[], bool]) -> None:
        """Run what is ready, as long as the worker is to go on."""
        forget_queries()
        if not self.in_flight.ready:
            return
        process = self.process or ProcessState()
        began = time.monotonic()
        with self.connection_of_tasks(), Isolation(process) as isolation:
            while go_on() and (claimed := self.in_flight.take()) is not None:
                self.run_task(claimed, self.slots[0], isolation)
                ended = time.monotonic()
                self.batch.observe(claimed.task_name, ended - began)
                began = ended
        process.put_back_after_batch()

    def connection_of_tasks(self) -> AbstractContextManager[None]:
        """Let code in this thread use the tasks' own connection while the block runs."""
        return self.lent.swapped_in() if self.lent else nullcontext()

    def wanted(self) -> int:
        """Return how many rows to claim now."""
        return self.batch.limit

    def make_way(self) -> None:
        """Release what blocks others here and cannot run itself."""

    def finish(self) -> None:
        """Return when nothing runs any more."""

    @property
    def interrupted(self) -> int:
        """Return how many calls were cut off."""
        return sum(max(slot.interrupted, slot.abandoned) for slot in self.slots)

    def interrupt(self, reason: str, after_seconds: float = 0) -> None:
        """Cut off what runs after so many seconds."""
        for slot in self.slots:
            slot.interrupt(reason, after_seconds)

    def resume(self, reason: str) -> None:
        """Let tasks run again that were cut off for this reason."""
        for slot in self.slots:
            slot.resume(reason)

    def run_task(self, claimed: Claimed, slot: Slot, isolation: Isolation) -> None:
        """Run one call and keep its outcome until the next exchange with the database."""
        self.freshen(slot)
        task = tasks_registry.find(claimed)
        if task is not None and task.concurrency_key and not claimed.concurrency_key:
            self.queue_under_its_key(claimed, task)
            return
        slot.occupy(claimed)
        isolation.forget_queries()
        # One context for the task and those who listen: what any of them sets ends with the run.
        # The queue's own statements are made outside of it.
        context = copy_context()
        span = None
        try:
            if task is not None:
                span = context.run(self.begin, claimed)
            if task is not None and task.atomic:
                outcome, written = self.run_atomic(task, claimed, slot, isolation, context)
            else:
                outcome, written = execute(claimed, self.now, slot, isolation, context), False
            if outcome.not_begun and self.left_to_others(claimed, outcome):
                context.run(sentry.end, span, None)
                return
            kept = self.keep(claimed, None if written else outcome, slot)
        except BaseException:
            context.run(sentry.end, span, None)
            raise
        finally:
            slot.vacate()
        with self.counting:
            self.count += 1
        context.run(self.end, claimed, outcome, kept, span)
        if outcome.exception is not None:
            outcome.exception = None
            isolation.close_run()

    def begin(self, claimed: Claimed) -> Any:
        """Announce that a run begins, in its context; return its span in Sentry, if any."""
        running.set(claimed)
        span = self.scopes.begin(claimed) if sentry.MODULE in sys.modules else None
        signals.task_started.send_robust(sender=Task, claimed=claimed, worker=self.label)
        return span

    def end(self, claimed: Claimed, outcome: Outcome, kept: bool, span: Any) -> None:
        """Announce that a run has ended, in its context, unless its outcome was dropped."""
        if kept:
            self.in_flight.minutes.add(claimed, outcome)
            signals.task_finished.send_robust(
                sender=Task, claimed=claimed, outcome=outcome, worker=self.label
            )
        if span is not None:
            sentry.end(span, outcome)

    @property
    def label(self) -> str:
        """Return the label of the worker."""
        return self.in_flight.registration.row.label

    def run_atomic(
        self,
        task: Task[Any, Any],
        claimed: Claimed,
        slot: Slot,
        isolation: Isolation,
        context: Context,
    ) -> tuple[Outcome, bool]:
        """Run a call whose effects and outcome are committed together."""
        outcome, written = task_execs.run_atomically(
            lambda: execute(claimed, self.now, slot, Isolation(self.process), context),
            claimed,
            self.in_flight.registration.worker_id,
            self.now,
            lambda error: with_exception(failure(task, claimed, error), error),
        )
        isolation.clean_connections()
        return outcome, written

    def keep(self, claimed: Claimed, outcome: Outcome | None, slot: Slot) -> bool:
        """Put an outcome into the in_flight; False when it is dropped."""
        if slot.abandoned or slot.struck:
            # An abandoned task had its connection closed under it; an interrupted one may have been
            # in the middle of a query.
            drop_connections()
        return self.in_flight.put(claimed, outcome)

    def freshen(self, slot: Slot) -> None:
        """Drop connections that may have died while nothing ran, before a task uses them."""
        now = time.monotonic()
        if slot.fresh_at < self.lost_at:
            drop_connections()
        elif now - slot.fresh_at > IDLE_SECONDS:
            drop_connections(only_unusable=True)
        slot.fresh_at = now

    def queue_under_its_key(self, claimed: Claimed, task: Task[Any, Any]) -> None:
        """Release a row from before its task was limited, under its concurrency key."""
        with self.kept_in_flight(claimed):
            # A copy: should the database not answer, it is still one that may not run here.
            self.in_flight.release(
                self.now(), [replace(claimed, concurrency_key=task.concurrency_key)]
            )

    def left_to_others(self, claimed: Claimed, outcome: Outcome) -> bool:
        """Return whether another worker may begin a call that this one cannot; then it is released.

        It may if it knows the task and its code is of a version that has not tried: so a call that
        nobody can begin comes to an end.
        """
        with self.kept_in_flight(claimed):
            own = self.in_flight.registration.worker_id
            others = [row for row in workers.alive() if row.pk != own]
            refused_by = "" if outcome.error_type == UNKNOWN else outcome.refused_by
            left = workers.may_begin(others, claimed, refused_by, self.now())
            if left:
                self.skipped_names.add(claimed.task_name)
                # A copy: should the database not answer, nothing is noted yet.
                self.in_flight.release(
                    self.now(), [replace(claimed, refused_by=outcome.refused_by)]
                )
        self.report_not_begun(claimed, outcome, left)
        return left

    @contextmanager
    def kept_in_flight(self, claimed: Claimed) -> Iterator[None]:
        """Keep a row in flight that was taken to run, when the database does not answer."""
        try:
            with self.lent.set_aside() if self.lent else nullcontext():
                yield
        except BaseException:
            self.in_flight.put_back(claimed)
            raise

    def report_not_begun(self, claimed: Claimed, outcome: Outcome, left: bool) -> None:
        """Report once for each task and reason: its rows are claimed again at each beat."""
        key = (claimed.task_name, outcome.error_type, left)
        if key not in self.reported:
            self.reported.add(key)
            signals.task_not_begun.send_robust(
                sender=self.label, claimed=claimed, outcome=outcome, left=left
            )
