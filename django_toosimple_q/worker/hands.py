"""The rows a worker holds: claimed, running, finished, on their way to and from the database."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime

from django_toosimple_q import signals
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.task_execs import Claimant, Place
from django_toosimple_q.worker.board import Board

Finished = tuple[Claimed, Outcome]


class Hands:
    """What one worker has in hand. Two threads use it: the one that runs and the one beside it."""

    def __init__(self, me: WorkerStatus, board: Board | None = None) -> None:
        self.me = me
        self.board = board or Board()
        self.ready: deque[Claimed] = deque()
        self.running: dict[int, Claimed] = {}
        self.finished: deque[Finished] = deque()
        self.finished_since = 0.0
        # Rows that were settled while their tasks still ran: what these come back with is dropped.
        self.settled: set[int] = set()
        # Held while the lists above change; never while the database is asked.
        self.books = threading.Lock()
        # Held while rows are on their way to or from the database: one exchange at a time.
        self.exchange = threading.Lock()

    @property
    def claimant(self) -> Claimant:
        return Claimant(self.me.pk, self.me.incarnation)

    def take(self) -> Claimed | None:
        """Return the next row to run, or None.

        A suspect, whose worker died before, runs while nothing else does: should it kill this
        process as well, it takes nobody along.
        """
        with self.books:
            if not self.ready:
                return None
            if self.running and (
                self.ready[0].deaths or any(row.deaths for row in self.running.values())
            ):
                return None
            claimed = self.ready.popleft()
            self.running[claimed.pk] = claimed
            self.board.begin(claimed.pk)
            return claimed

    def suspects(self) -> bool:
        """Tell whether a row is in hand whose worker died: others would only wait beside it."""
        with self.books:
            return any(row.deaths for row in (*self.ready, *self.running.values()))

    def suspect_waits(self) -> bool:
        """Tell whether a suspect is next in hand, and waits for what runs."""
        with self.books:
            return self._suspect_waits()

    def postpone_suspect(self, now: datetime, seconds: float) -> None:
        """Give a suspect that waits for what runs back, to be claimed in so many seconds."""
        with self.books:
            if not self._suspect_waits():
                return
            suspect = self.ready.popleft()
        self.hand_back(now, [suspect], seconds)

    def put_back(self, claimed: Claimed) -> None:
        """Take a row back that was taken to run and that nothing was done with."""
        with self.books:
            self.running.pop(claimed.pk, None)
            self.ready.appendleft(claimed)
            self.board.clear([claimed.pk])

    def put(self, claimed: Claimed, outcome: Outcome | None) -> bool:
        """Take in what came of a row; None when it is in the database already.

        False when the row was settled while its task ran: then the outcome is dropped.
        """
        with self.books:
            if claimed.pk not in self.settled:
                self.running.pop(claimed.pk, None)
                if outcome is None:
                    self.board.clear([claimed.pk])
                    return True
                self.board.end(claimed.pk)
                if not self.finished:
                    self.finished_since = time.monotonic()
                self.finished.append((claimed, outcome))
                return True
        self._tell_dropped([claimed])
        return False

    def settle(self, claimed: Claimed, outcome: Outcome, now: datetime) -> bool:
        """Store an outcome for a row whose task still runs; False when it has ended."""
        with self.exchange:
            if claimed.pk not in self.running:
                return False
            kept = task_execs.finish([(claimed, outcome)], self.me.pk, now)
            with self.books:
                self.settled.add(claimed.pk)
                self.running.pop(claimed.pk, None)
                # It may have ended while its other outcome was on the way.
                late = [one for one in self.finished if one[0].pk == claimed.pk]
                for one in late:
                    self.finished.remove(one)
                self.board.clear([claimed.pk])
        if late or not kept:
            self._tell_dropped([claimed])
        return True

    @property
    def busy(self) -> bool:
        """Tell whether anything is in hand."""
        return bool(self.running or self.ready or self.finished)

    def turn_over(
        self, places: Sequence[Place], limit: int, now: datetime, skipped_names: Sequence[str]
    ) -> tuple[int, int]:
        """Hand in what is finished and claim what is next, in one exchange; count both."""
        if not self.finished and not (places and limit):
            return 0, 0
        with self.exchange:
            finished = self._outcomes()
            kept, claimed = task_execs.turn_over(
                finished, self.claimant, places, limit, now, skipped_names
            )
            with self.books:
                self._handed_in(finished)
                self.ready.extend(claimed)
        self._tell_refused([one for one in finished if one[0].pk not in kept])
        return len(finished), len(claimed)

    def flush(self, now: datetime) -> int:
        """Hand in what is finished; return how many outcomes."""
        with self.exchange:
            finished = self._outcomes()
            if not finished:
                return 0
            kept = task_execs.finish(finished, self.me.pk, now)
            with self.books:
                self._handed_in(finished)
        self._tell_refused([one for one in finished if one[0].pk not in kept])
        return len(finished)

    def hand_back(
        self, now: datetime, rows: Sequence[Claimed] | None = None, pause_seconds: float = 0
    ) -> None:
        """Give rows that have not started back to the others: these, or all."""
        with self.exchange:
            with self.books:
                unstarted = list(self.ready) if rows is None else list(rows)
                if rows is None:
                    # Out of reach first, so that none of them starts meanwhile.
                    self.ready.clear()
            if not unstarted:
                return
            try:
                task_execs.hand_back(unstarted, self.me.pk, now, pause_seconds)
            except BaseException:
                with self.books:
                    if rows is None:
                        self.ready.extendleft(reversed(unstarted))
                raise
            with self.books:
                for row in unstarted:
                    self.running.pop(row.pk, None)
                self.board.clear(row.pk for row in unstarted)

    def reconcile(self, now: datetime) -> int:
        """Hand back rows that are ours in the database and not in hand; return how many.

        The commit of a claim whose answer was lost leaves them: this worker lives and beats, so
        nobody would ever rescue them.
        """
        with self.exchange:
            # What is held before the rows are read: what ends meanwhile is no stray.
            with self.books:
                held = {row.pk for row in (*self.ready, *self.running.values())}
                held |= {claimed.pk for claimed, _ in self.finished}
            strays = [row for row in task_execs.owned(self.me.pk) if row.pk not in held]
            if strays:
                task_execs.hand_back(strays, self.me.pk, now)
        if strays:
            signals.strays_handed_back.send_robust(sender=self.me.label, count=len(strays))
        return len(strays)

    def held(self) -> list[int]:
        """Return the ids of all rows in hand."""
        with self.books:
            finished = [claimed for claimed, _ in self.finished]
            return [row.pk for row in (*self.ready, *self.running.values(), *finished)]

    def restore(self, now: datetime) -> bool:
        """Put this worker's row back, if somebody has deleted it, with all that is in hand."""
        with self.exchange:
            return workers.restore(self.me, self.held(), now)

    def tell_running(self) -> None:
        """Tell the tasks that run that they should come to an end."""
        for claimed in list(self.running.values()):
            claimed.interrupted = True

    def heed_cancels(self, now: datetime) -> None:
        """Tell tasks that run and were cancelled meanwhile; let go of those that have not begun."""
        with self.books:
            in_hand = {row.pk: row for row in (*self.ready, *self.running.values())}
        for pk in task_execs.cancelled(list(in_hand)):
            in_hand[pk].interrupted = True
        with self.books:
            waiting = [row for row in self.ready if row.interrupted]
            for row in waiting:
                self.ready.remove(row)
        if waiting:
            self.hand_back(now, waiting)

    def drop(self) -> None:
        """Forget rows that have not started: they are somebody else's by now."""
        with self.books:
            self.ready.clear()

    def _suspect_waits(self) -> bool:
        return bool(self.running and self.ready and self.ready[0].deaths)

    def _outcomes(self) -> list[Finished]:
        with self.books:
            return list(self.finished)

    def _handed_in(self, finished: Sequence[Finished]) -> None:
        """Forget outcomes that are stored; those that came in since stay."""
        for _ in finished:
            self.finished.popleft()
        self.board.clear(claimed.pk for claimed, _ in finished)
        self.finished_since = time.monotonic()

    def lost(self) -> list[int]:
        """Return those of the running rows that are not this worker's any more."""
        running = list(self.running)
        mine = {row.pk for row in task_execs.owned(self.me.pk)} if running else set()
        return [pk for pk in running if pk not in mine]

    def _tell_refused(self, refused: Sequence[Finished]) -> None:
        """Tell of outcomes that were dropped, but not of those that an unanswered commit stored."""
        if refused:
            stored = task_execs.stored(refused, self.me.pk)
            self._tell_dropped([claimed for claimed, _ in refused if claimed.pk not in stored])

    def _tell_dropped(self, dropped: Sequence[Claimed]) -> None:
        """Tell of outcomes that came too late: their rows were rescued meanwhile."""
        followers = task_execs.followers([claimed.pk for claimed in dropped]) if dropped else {}
        for claimed in dropped:
            signals.outcome_dropped.send_robust(
                sender=self.me.label, claimed=claimed, replaced_by=followers.get(claimed.pk)
            )
