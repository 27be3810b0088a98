"""For a task that does not stop: store its outcome from another thread, then end the process.

A thread cannot be ended from outside. What the task returns later is dropped.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf

from django_toosimple_q import signals
from django_toosimple_q.execution import Claimed
from django_toosimple_q.failure import failure
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.transaction import abort
from django_toosimple_q.task import Task
from django_toosimple_q.worker.execution.deadline import Slot
from django_toosimple_q.worker.execution.runner import Runner
from django_toosimple_q.worker.in_flight import InFlight
from django_toosimple_q.worker.processes.shutdown import Shutdown

TERMINATED = int(WorkerStatus.ExitCodes.TERMINATED)


class HardTimeout:
    """Checks, in a thread beside the tasks, whether one of them should have stopped by now."""

    def __init__(
        self,
        in_flight: InFlight,
        runner: Runner,
        shutdown: Shutdown,
        now: Callable[[], datetime],
        leave: Callable[[int, str], None],
    ) -> None:
        self.in_flight = in_flight
        self.runner = runner
        self.shutdown = shutdown
        self.now = now
        self.leave = leave

    def check(self) -> None:
        """Abandon tasks that do not stop; end the process once nothing else runs."""
        for slot in self.runner.slots:
            claimed = slot.claimed
            task = tasks_registry.find(claimed) if claimed is not None else None
            if claimed is None or task is None or slot.abandoned:
                continue
            error = slot.overdue(time.monotonic(), task.timeout_grace)
            if error is not None:
                self.abandon(slot, claimed, task, error)
        if self.shutdown.requested and any(slot.abandoned for slot in self.runner.slots):
            self.end()

    def abandon(
        self, slot: Slot, claimed: Claimed, task: Task[..., object], error: BaseException
    ) -> None:
        """Store the outcome of a task that still runs, and let the worker stop."""
        if claimed.pk not in self.in_flight.running:
            return
        stack = stack_of(slot.thread_id)
        outcome = failure(task, claimed, error)
        # Like a traceback: where it was, and last what is wrong.
        outcome.error = f"It was at:\n{stack}{outcome.error}"
        outcome.finished = self.now()
        outcome.started = outcome.finished - timedelta(seconds=time.monotonic() - slot.began)
        abort(slot.connection)
        if not self.in_flight.finish_running(claimed, outcome, outcome.finished):
            return
        slot.abandoned = True
        signals.task_stuck.send_robust(
            sender=self.in_flight.registration.label, claimed=claimed, error=error, stack=stack
        )
        outcome.exception = error
        signals.task_finished.send_robust(
            sender=Task,
            claimed=claimed,
            outcome=outcome,
            worker=self.in_flight.registration.row.label,
        )
        outcome.exception = None
        if not self.shutdown.requested:
            self.shutdown.request_with_grace(
                f"task {claimed.pk} ({claimed.task_name}) does not stop"
            )

    def end_if_stuck(self) -> None:
        """End the process when a task does not stop that may run elsewhere by now.

        The database does not answer, so nothing is stored.
        """
        for slot in self.runner.slots:
            claimed = slot.claimed
            error = None if claimed is None else slot.overdue(time.monotonic(), inf)
            if error is not None:
                signals.task_stuck.send_robust(
                    sender=self.in_flight.registration.label,
                    claimed=claimed,
                    error=error,
                    stack=stack_of(slot.thread_id),
                )
                os._exit(TERMINATED)

    def end(self) -> None:
        """Store and release all that is left, and end the process, when no task runs."""
        if self.in_flight.running:
            return
        self.in_flight.release_ready(self.now())
        self.in_flight.flush(self.now())
        if self.in_flight.running:
            return
        self.in_flight.minutes.write(self.now(), at_once=True)
        self.leave(TERMINATED, f"KeyboardInterrupt: {self.shutdown.reason}")
        # Nothing is flushed: the thread that hangs may hold the lock of what it writes to.
        os._exit(TERMINATED)


def stack_of(thread_id: int) -> str:
    """Return where a thread is, as the lines of a traceback."""
    frame = sys._current_frames().get(thread_id)
    return "".join(traceback.format_stack(frame)) if frame else "  its thread is gone\n"
