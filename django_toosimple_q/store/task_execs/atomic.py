"""Run a call so that its effects in this database and its outcome are committed together."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError

from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.step import queue_connection, repeat
from django_toosimple_q.store.task_execs.finish import _write
from django_toosimple_q.store.task_execs.rescue import held

States = TaskExec.States

LOST = "the database was lost while the task ran: %s"
# Seconds before a call runs again whose connection was lost; doubled each time, which a float does
# not take for ever.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 60.0
MOST_DOUBLINGS = 10


class Undone(Exception):
    """Rolls the task's effects back."""


def run_atomically(
    run: Callable[[], Outcome],
    claimed: Claimed,
    worker_id: int,
    now: Callable[[], datetime],
) -> tuple[Outcome, bool]:
    """Return the outcome of `run`, and whether it is in the database already.

    The row is still this worker's when the effects are committed, or they are rolled back: so
    they happen once, whatever pauses or kills whom. A failed call's effects are rolled back, and
    its outcome is left to the caller to store. When the connection died on the way, the call is
    to be replaced, unless the row says that the commit came through.
    """
    connection = queue_connection()
    outcome = None
    line = None
    try:
        with begun(connection):
            line = connection.connection
            outcome = run()
            if outcome.state != States.SUCCEEDED:
                raise Undone
            if not _write(connection, [(claimed, outcome)], worker_id, now()):
                raise Undone
    except Undone:
        assert outcome is not None
        return _unless_lost(connection, line, claimed, outcome), False
    except (DatabaseError, InterfaceError) as error:
        if not dialect_of(connection).is_lost(error):
            # A deferred constraint, checked by the commit: the task's own failure.
            return _failed(outcome, error, now), False
        connection.close()
        if outcome is not None and _committed(claimed, worker_id):
            return outcome, True
        lost = Outcome(States.INTERRUPTED, finished=now(), error=LOST % error)
        return _cut_off(claimed, lost), False
    return outcome, True


@contextmanager
def begun(connection: Any) -> Iterator[None]:
    """Open a transaction for writing; a file that is busy is asked again, as by every step."""
    dialect = dialect_of(connection)
    with ExitStack() as stack:
        repeat(lambda: stack.enter_context(dialect.transaction(connection)), dialect)
        yield


def _unless_lost(connection: Any, line: Any, claimed: Claimed, outcome: Outcome) -> Outcome:
    """Return the outcome, as one to be replaced when it only failed because the connection died.

    `line` is the driver's connection as it was; by now Django may have opened another. A timeout
    that broke it is the task's own failure, or it would run over it again and again.
    """
    if outcome.state != States.FAILED or outcome.timed_out:
        return outcome
    if connection.connection is not line or not connection.is_usable():
        connection.close()
        outcome.state, outcome.next_attempt = States.INTERRUPTED, None
        return _cut_off(claimed, outcome)
    return outcome


def _cut_off(claimed: Claimed, outcome: Outcome) -> Outcome:
    """Return an outcome as that of a call which the loss of its connection cut off.

    One that breaks its connection itself would run again and again: it waits ever longer.
    """
    outcome.replaced = not held(claimed)
    doublings = min(claimed.attempt - 1, MOST_DOUBLINGS)
    outcome.pause_seconds = min(SHORTEST_PAUSE * 2.0**doublings, LONGEST_PAUSE)
    if not outcome.replaced:
        outcome.error = f"{(outcome.error or '').rstrip()}; held for a person to decide"
    return outcome


def _committed(claimed: Claimed, worker_id: int) -> bool:
    """Tell whether a commit whose answer was lost came through.

    While the database does not say, False: what is written instead later is refused by a row that
    has SUCCEEDED, as it is not PROCESSING any more.
    """
    connection = queue_connection()
    rows = TaskExec.objects.using(connection.alias)
    try:
        return rows.filter(pk=claimed.pk, state=States.SUCCEEDED, worker=worker_id).exists()
    except (OperationalError, InterfaceError):
        connection.close()
        return False


def _failed(outcome: Outcome | None, error: Exception, now: Callable[[], datetime]) -> Outcome:
    return Outcome(
        States.FAILED,
        started=outcome.started if outcome else None,
        finished=now(),
        error=f"its effects could not be committed: {type(error).__name__}: {error}",
        stdout=outcome.stdout if outcome else "",
        stderr=outcome.stderr if outcome else "",
    )
