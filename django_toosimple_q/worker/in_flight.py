"""The tasks in flight: claimed, running, or finished and not stored yet."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime

from django.db import DatabaseError

from django_toosimple_q import signals
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.task_execs import Bucket, Finished
from django_toosimple_q.store.transaction import is_locked, passing_over_locks
from django_toosimple_q.worker.minutes import Minutes
from django_toosimple_q.worker.registration import Registration

# How often an outcome is tried again whose row another session keeps locked.
LOCKED_SECONDS = 0.5
# How often the progress of what runs and its output are stored.
PROGRESS_SECONDS = 1.0


class InFlight:
    """The rows that one worker holds. Its own thread and the threads beside it use this."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.scoreboard = registration.scoreboard
        self.minutes = Minutes(registration)
        self.ready: deque[Claimed] = deque()
        self.running: dict[int, Claimed] = {}
        self.finished: deque[Finished] = deque()
        self.finished_since = 0.0
        # Outcomes of rows that another session keeps locked, and when to try them again.
        self.locked: list[Finished] = []
        self.locked_until = 0.0
        # When the progress of what runs may be stored again, by the monotonic clock.
        self.progress_due = 0.0
        # Rows that were finished while their tasks still ran: a later outcome is dropped.
        self.finished_early: set[int] = set()
        # How many may still start, where --max_tasks bounds that.
        self.left = registration.options.max_tasks
        # Held while the lists above change; never during a query.
        self.lock = threading.Lock()
        # Held while rows are on their way to or from the database: one exchange at a time.
        self.exchange = threading.Lock()

    # Running

    def take(self) -> Claimed | None:
        """Return the next row to run, or None.

        A quarantined row, whose worker crashed before, runs while nothing else does: should it
        crash this process as well, no other task is harmed.
        """
        with self.lock:
            if not self.ready or self.left == 0:
                return None
            if self.running and (
                self.ready[0].crash_count or any(row.crash_count for row in self.running.values())
            ):
                return None
            claimed = self.ready.popleft()
            self.running[claimed.pk] = claimed
            if self.left is not None:
                self.left -= 1
            self.scoreboard.begin(claimed.pk)
            return claimed

    def put_back(self, claimed: Claimed) -> None:
        """Take back a row that was taken to run but did not start."""
        with self.lock:
            self._unstart(claimed)
            self.ready.appendleft(claimed)
            self.scoreboard.clear([claimed.pk])

    def put(self, claimed: Claimed, outcome: Outcome | None) -> bool:
        """Take in the outcome of a row; None when it is in the database already.

        False when the row was finished while its task still ran: then the outcome is dropped.
        """
        with self.lock:
            if claimed.pk not in self.finished_early:
                self.running.pop(claimed.pk, None)
                if outcome is None:
                    self.scoreboard.clear([claimed.pk])
                    return True
                self.scoreboard.end(claimed.pk)
                if not self.finished:
                    self.finished_since = time.monotonic()
                self.finished.append((claimed, outcome))
                return True
        self._report_dropped([claimed])
        return False

    def finish_running(self, claimed: Claimed, outcome: Outcome, now: datetime) -> bool:
        """Store an outcome for a row whose task still runs; False when it has ended."""
        with self.exchange:
            if claimed.pk not in self.running:
                return False
            self._store_last_progress([claimed])
            kept = task_execs.finish([(claimed, outcome)], self.registration.worker_id, now)
            with self.lock:
                self.finished_early.add(claimed.pk)
                self.running.pop(claimed.pk, None)
                # It may have ended while its other outcome was being stored.
                late = [one for one in self.finished if one[0].pk == claimed.pk]
                for one in late:
                    self.finished.remove(one)
                self.scoreboard.clear([claimed.pk])
        self.minutes.add(claimed, outcome)
        if late or not kept:
            self._report_dropped([claimed])
        return True

    def room(self, wanted: int) -> int:
        """Return how many rows to claim of those `wanted`: no more than may still start here."""
        with self.lock:
            return wanted if self.left is None else max(0, min(wanted, self.left - len(self.ready)))

    @property
    def busy(self) -> bool:
        """Return whether anything is in flight."""
        return bool(self.running or self.ready or self.finished or self.locked)

    # Quarantine

    def has_quarantined(self) -> bool:
        """Return whether a quarantined row is in flight: others would only wait beside it."""
        with self.lock:
            return any(row.crash_count for row in (*self.ready, *self.running.values()))

    def quarantined_waits(self) -> bool:
        """Return whether a quarantined row is next and waits for what runs."""
        with self.lock:
            return self._quarantined_waits()

    def postpone_quarantined(self, now: datetime, seconds: float) -> None:
        """Release a quarantined row that waits for what runs, to be claimed in so many seconds."""
        with self.lock:
            if not self._quarantined_waits():
                return
            quarantined = self.ready.popleft()
        self.release(now, [quarantined], seconds)

    # Exchanges with the database

    def finish_and_claim(
        self, buckets: Sequence[Bucket], limit: int, now: datetime, skipped_names: Sequence[str]
    ) -> tuple[int, int]:
        """Store what has finished and claim what is next, in one exchange; return both counts."""
        if not self.finished and not (buckets and limit):
            return 0, 0
        with self.exchange:
            finished = self._outcomes()
            claimant = self.registration.claimant
            try:
                kept, claimed = task_execs.finish_and_claim(
                    finished, claimant, buckets, limit, now, skipped_names
                )
            except DatabaseError as error:
                if not is_locked(error):
                    raise
                kept, claimed = self._finish_unlocked(finished, now), []
                with passing_over_locks():
                    plain = [bucket for bucket in buckets if not bucket.concurrency_key]
                    _, claimed = task_execs.finish_and_claim(
                        [], claimant, plain, limit, now, skipped_names
                    )
            claimed_at = time.monotonic()
            for row in claimed:
                row.claimed_at = claimed_at
            with self.lock:
                self._stored(finished)
                self.ready.extend(claimed)
        self._report_refused([one for one in finished if one[0].pk not in kept])
        return len(finished), len(claimed)

    def flush(self, now: datetime) -> int:
        """Store what has finished; return how many outcomes."""
        with self.exchange:
            finished = self._outcomes()
            if not finished:
                return 0
            try:
                kept = task_execs.finish(finished, self.registration.worker_id, now)
            except DatabaseError as error:
                if not is_locked(error):
                    raise
                kept = self._finish_unlocked(finished, now)
            with self.lock:
                self._stored(finished)
        self._report_refused([one for one in finished if one[0].pk not in kept])
        return len(finished)

    def flush_locked(self, now: datetime) -> None:
        """Store outcomes that had to wait for the locks of another session, where they are gone."""
        if not self.locked or time.monotonic() < self.locked_until:
            return
        with self.exchange:
            finished, self.locked = self.locked, []
            try:
                kept = self._finish_unlocked(finished, now)
            except BaseException:
                self.locked = finished
                raise
            waits = {claimed.pk for claimed, _ in self.locked}
            self.scoreboard.clear(claimed.pk for claimed, _ in finished if claimed.pk not in waits)
        self._report_refused([one for one in finished if one[0].pk not in kept])

    def _finish_unlocked(self, finished: Sequence[Finished], now: datetime) -> set[int]:
        """Store what can be; return the ids of what is stored, or is kept to be tried again."""
        if not finished:
            return set()
        kept, waits = task_execs.finish_unlocked(finished, self.registration.worker_id, now)
        self.locked += [one for one in finished if one[0].pk in waits]
        self.locked_until = time.monotonic() + LOCKED_SECONDS
        return kept | waits

    def store_progress(self) -> None:
        """Store what running tasks have reported and printed, at most once a second.

        Not of an atomic task: its own transaction has the row, and stores it together with the
        outcome. One whose row is locked is stored the next time, or at the end.
        """
        if time.monotonic() < self.progress_due:
            return
        running = list(self.running.values())
        reporting = [row for row in running if row.reported is not None or row.tail is not None]
        plain = [row for row in reporting if not is_atomic(row)]
        if plain:
            self.progress_due = time.monotonic() + PROGRESS_SECONDS
            with self.exchange, passing_over_locks():
                task_execs.store_progress(plain, self.registration.worker_id, waits=False)
                task_execs.store_tails(plain, self.registration.worker_id)

    def release(self, now: datetime, rows: Sequence[Claimed], pause_seconds: float = 0) -> None:
        """Release rows that have not started and are not ready any more."""
        with self.exchange:
            self._release(now, rows, pause_seconds)

    def release_ready(self, now: datetime, keep: int = 0) -> None:
        """Release the rows that are ready, so that others may claim them; `keep` the first."""
        with self.exchange:
            with self.lock:
                # Out of reach first, so that none of them starts meanwhile. If the answer is lost,
                # they may run elsewhere: `reconcile` finds those that are still ours.
                unstarted = [self.ready.pop() for _ in range(len(self.ready) - keep)]
            self._release(now, unstarted)

    def ready_since(self) -> float | None:
        """Return when the row was claimed that starts next, by the monotonic clock, or None.

        None as well for a quarantined row: it would be claimed again at once, and others never.
        """
        with self.lock:
            waits = self.ready and not self._quarantined_waits()
            return self.ready[0].claimed_at if waits else None

    def ready_names(self) -> list[str]:
        """Return the names of the tasks that are ready, in the order in which they start."""
        with self.lock:
            return [row.task_name for row in self.ready]

    def reconcile(self, now: datetime) -> int:
        """Release rows that are ours in the database and not in flight; return how many.

        A claim whose commit succeeded and whose reply was lost leaves such rows. This worker lives
        and beats, so nothing would ever rescue them.
        """
        with self.exchange:
            # What is in flight before the rows are read: what ends meanwhile is no stray.
            known = set(self.ids())
            owned = task_execs.owned(self.registration.worker_id)
            strays = task_execs.read([pk for pk in owned if pk not in known])
            if strays:
                task_execs.release(strays, self.registration.worker_id, now)
        if strays:
            signals.stray_claims_released.send_robust(
                sender=self.registration.label, count=len(strays)
            )
        return len(strays)

    def restore_registration(self, now: datetime) -> bool:
        """Recreate this worker's deleted row, with all that is in flight; False if it exists."""
        with self.exchange:
            return workers.restore(self.registration.row, self.ids(), now)

    def ids(self) -> list[int]:
        """Return the ids of all rows in flight."""
        with self.lock:
            finished = [claimed for claimed, _ in (*self.finished, *self.locked)]
            return [row.pk for row in (*self.ready, *self.running.values(), *finished)]

    def not_ours(self) -> list[int]:
        """Return those of the running rows that are not this worker's any more."""
        running = list(self.running)
        owned = task_execs.owned(self.registration.worker_id) if running else []
        return [pk for pk in running if pk not in owned]

    def forget_unstarted(self) -> None:
        """Forget rows that have not started: they belong to another worker by now."""
        with self.lock:
            self.ready.clear()

    # Interruption

    def mark_interrupted(self) -> None:
        """Set `interrupted` for the tasks that run, so that they may end early."""
        for claimed in list(self.running.values()):
            claimed.interrupted = True

    def apply_cancellations(self, now: datetime) -> None:
        """Set `interrupted` for running calls that were cancelled; release those not started."""
        with self.lock:
            known = {row.pk: row for row in (*self.ready, *self.running.values())}
        for pk in task_execs.cancelled(list(known)):
            known[pk].interrupted = known[pk].cancelled = True
        with self.lock:
            waiting = [row for row in self.ready if row.interrupted]
            for row in waiting:
                self.ready.remove(row)
        if waiting:
            self.release(now, waiting)

    def _release(self, now: datetime, rows: Sequence[Claimed], pause_seconds: float = 0) -> None:
        if not rows:
            return
        task_execs.release(rows, self.registration.worker_id, now, pause_seconds)
        with self.lock:
            for row in rows:
                self._unstart(row)
            self.scoreboard.clear(row.pk for row in rows)

    def _unstart(self, claimed: Claimed) -> None:
        if self.running.pop(claimed.pk, None) is not None and self.left is not None:
            self.left += 1

    def _quarantined_waits(self) -> bool:
        return bool(self.running and self.ready and self.ready[0].crash_count)

    def _outcomes(self) -> list[Finished]:
        with self.lock:
            finished = list(self.finished)
        reporting = [claimed for claimed, _ in finished if claimed.reported is not None]
        if reporting:
            self._store_last_progress(reporting)
        return finished

    def _store_last_progress(self, rows: Sequence[Claimed]) -> None:
        """Store what tasks have reported last, before their outcomes are."""
        with passing_over_locks():
            task_execs.store_progress(rows, self.registration.worker_id)

    def _stored(self, finished: Sequence[Finished]) -> None:
        """Forget outcomes that are stored; those that came in since stay."""
        for _ in finished:
            self.finished.popleft()
        waits = {claimed.pk for claimed, _ in self.locked}
        self.scoreboard.clear(claimed.pk for claimed, _ in finished if claimed.pk not in waits)
        self.finished_since = time.monotonic()

    def _report_refused(self, refused: Sequence[Finished]) -> None:
        """Report dropped outcomes, but not those that a commit without a reply has stored."""
        if refused:
            stored = task_execs.stored(refused, self.registration.worker_id)
            self._report_dropped([claimed for claimed, _ in refused if claimed.pk not in stored])

    def _report_dropped(self, dropped: Sequence[Claimed]) -> None:
        """Report outcomes that came too late: their rows were rescued meanwhile."""
        ids = [claimed.pk for claimed in dropped]
        replacements = task_execs.replacements(ids) if dropped else {}
        for claimed in dropped:
            signals.outcome_dropped.send_robust(
                sender=self.registration.label,
                claimed=claimed,
                replaced_by=replacements.get(claimed.pk),
            )


def is_atomic(claimed: Claimed) -> bool:
    """Return whether the task of a row runs in the transaction that stores its outcome."""
    task = tasks_registry.get(claimed.task_name)
    return task is not None and task.atomic
