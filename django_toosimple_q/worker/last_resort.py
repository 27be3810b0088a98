"""Against a task that does not stop: settle its row from beside it, then end the process.

A thread cannot be ended from outside. What the task comes back with later is dropped.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta

from django_toosimple_q import signals
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.step import release
from django_toosimple_q.task import Task
from django_toosimple_q.worker.deadline import Slot
from django_toosimple_q.worker.executor import failure
from django_toosimple_q.worker.hands import Hands
from django_toosimple_q.worker.runner import Runner
from django_toosimple_q.worker.stopping import StopSignals

TERMINATED = int(WorkerStatus.ExitCodes.TERMINATED)


class LastResort:
    """Looks, in a thread beside the tasks, whether one of them was told to stop and has not."""

    def __init__(
        self,
        hands: Hands,
        runner: Runner,
        stop: StopSignals,
        now: Callable[[], datetime],
        leave: Callable[[int, str], None],
    ) -> None:
        self.hands = hands
        self.runner = runner
        self.stop = stop
        self.now = now
        self.leave = leave

    def look(self) -> None:
        """Give up on tasks that do not stop; end the process once nothing else runs."""
        for slot in self.runner.slots:
            claimed = slot.claimed
            task = tasks_registry.find(claimed) if claimed is not None else None
            if claimed is None or task is None or slot.lost:
                continue
            error = slot.stubborn(time.monotonic(), task.timeout_grace)
            if error is not None:
                self.give_up(slot, claimed, task, error)
        if self.stop.requested and any(slot.lost for slot in self.runner.slots):
            self.end()

    def give_up(
        self, slot: Slot, claimed: Claimed, task: Task[..., object], error: BaseException
    ) -> None:
        """Store the outcome of a task that still runs, and let the worker stop."""
        if claimed.pk not in self.hands.running:
            return
        stack = stack_of(slot.thread_id)
        outcome = failure(task, claimed, error)
        # Like a traceback: where it was, and last what is wrong.
        outcome.error = f"It was at:\n{stack}{outcome.error}"
        outcome.finished = self.now()
        outcome.started = outcome.finished - timedelta(seconds=time.monotonic() - slot.began)
        release(slot.connection)
        if not self.hands.settle(claimed, outcome, outcome.finished):
            return
        slot.lost = True
        signals.task_stuck.send_robust(
            sender=self.hands.me.label, claimed=claimed, error=error, stack=stack
        )
        signals.task_finished.send_robust(sender=Task, claimed=claimed, outcome=outcome)
        if not self.stop.requested:
            self.stop.wind_up(f"task {claimed.pk} ({claimed.task_name}) does not stop")

    def end(self) -> None:
        """Hand in and hand back all that is left, and end the process, when no task runs."""
        if self.hands.running:
            return
        self.hands.hand_back(self.now())
        self.hands.flush(self.now())
        if self.hands.running:
            return
        self.leave(TERMINATED, f"KeyboardInterrupt: {self.stop.reason}")
        # Nothing is flushed: the thread that hangs may hold the lock of what it writes to.
        os._exit(TERMINATED)


def stack_of(thread_id: int) -> str:
    """Return where a thread is, as the lines of a traceback."""
    frame = sys._current_frames().get(thread_id)
    return "".join(traceback.format_stack(frame)) if frame else "  its thread is gone\n"
