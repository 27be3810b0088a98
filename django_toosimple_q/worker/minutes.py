"""Count what ends in this process by minute and task, and store the counts once a second."""

import threading
import time
from collections import deque
from datetime import datetime

from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.histogram import bin_of
from django_toosimple_q.models import Minute, TaskExec
from django_toosimple_q.store import minutes
from django_toosimple_q.store.minutes import FIRST_RUN_BIN, FIRST_WAIT_BIN, Tally
from django_toosimple_q.store.transaction import passing_over_locks, queue_connection
from django_toosimple_q.worker.registration import Registration

WRITTEN_EVERY_SECONDS = 1.0

States = TaskExec.States
DONE, FAILED, RETRIED, INTERRUPTED = range(len(Minute.ENDS))
RUN_SECONDS, WAIT_SECONDS = range(len(Minute.ENDS), FIRST_RUN_BIN)
# Task, queue, due, started, finished, and the place of its end among the counts.
Ended = tuple[str, str, datetime, datetime | None, datetime | None, int]

ENDS = {States.SUCCEEDED.value: DONE, States.INTERRUPTED.value: INTERRUPTED}


class Minutes:
    """The counts of one process.

    A process that dies takes the counts of its last second with it; the calls stay counted by
    their rows. While no count can be stored, they wait.
    """

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        # Taken in by the thread that writes: a task that ends pays for one append.
        self.ended: deque[Ended] = deque()
        self.minute = 0
        # Those of this minute, by task and queue.
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.changed: list[Tally] = []
        self.written_at = 0.0
        # Held while counts are taken in and stored: the last ones are stored by another thread.
        self.lock = threading.Lock()

    def add(self, claimed: Claimed, outcome: Outcome) -> None:
        """Count how a call ended."""
        replaced = outcome.replaced or outcome.next_attempt is not None
        self.ended.append(
            # No more of it: arguments and results may be large.
            (
                *(claimed.task_name, claimed.queue, claimed.due),
                *(outcome.started, outcome.finished),
                RETRIED if replaced else ENDS.get(outcome.state, FAILED),
            )
        )

    @property
    def pending(self) -> bool:
        """Return whether anything is counted and not stored."""
        return bool(self.ended or self.changed)

    def write(self, now: datetime, *, at_once: bool = False) -> None:
        """Store what has changed; at most once a second unless `at_once`.

        Not inside a transaction of the caller, which would take it back or hold it for long.
        """
        moment = time.monotonic()
        if not self.pending or not (at_once or moment - self.written_at >= WRITTEN_EVERY_SECONDS):
            return
        with self.lock, passing_over_locks():
            self.written_at = moment
            self._take_in(minutes.minute_of(now))
            if queue_connection().in_atomic_block:
                return
            ids = minutes.write(self.registration.worker_id, self.changed)
            for tally, pk in zip(self.changed, ids, strict=True):
                tally.pk, tally.stored = pk, True
            self.changed = []

    def _take_in(self, minute: int) -> None:
        if minute != self.minute:
            self.minute, self.tallies = minute, {}
        for _ in range(len(self.ended)):
            task_name, queue, due, started, finished, end = self.ended.popleft()
            key = (task_name, queue)
            tally = self.tallies.get(key)
            if tally is None:
                tally = self.tallies[key] = Tally(minute, task_name, queue)
            if tally.stored:
                tally.stored = False
                self.changed.append(tally)
            counts = tally.counts
            counts[end] += 1
            if started is not None and finished is not None:
                run, wait = (finished - started).total_seconds(), (started - due).total_seconds()
                counts[FIRST_RUN_BIN + bin_of(run)] += 1
                counts[FIRST_WAIT_BIN + bin_of(wait)] += 1
                # A clock may have been set meanwhile.
                counts[RUN_SECONDS] += run if run > 0 else 0.0
                counts[WAIT_SECONDS] += wait if wait > 0 else 0.0
