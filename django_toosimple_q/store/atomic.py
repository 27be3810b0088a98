"""Run a call so that its writes to this database and its outcome are committed together."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import DatabaseError, InterfaceError, OperationalError

from django_toosimple_q.databases import Bounds, database_of
from django_toosimple_q.databases.base import SESSION
from django_toosimple_q.databases.session import Session
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.finish import write
from django_toosimple_q.store.progress import store_progress
from django_toosimple_q.store.rescue import held
from django_toosimple_q.store.transaction import patience, queue_connection, repeat

States = TaskExec.States

CLOSED = (
    "it closed the connection of the transaction that it runs in, so its effects were rolled back. "
    "Leave the connection alone, or drop atomic=True."
)
ROLLED_BACK = (
    "it marked the transaction that it runs in for rollback, or caught an error of the database "
    "in it, so its effects were rolled back. Raise, or put what may fail into atomic()."
)
ENDED = (
    "it ended the transaction that it runs in, so what it has written may be committed in part. "
    "Leave COMMIT, ROLLBACK and statements that commit to others, or drop atomic=True."
)
NOT_FOUND = (
    "its row was not found on its own connection when its effects were to be committed, so they "
    "were rolled back. Put search_path, role and schema back at the end of the task."
)
LOST = "the database was lost while the task ran: %s"
# Seconds before a call runs again after its connection was lost. The pause doubles each time, but
# only so often, as a float overflows.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 60.0
MOST_DOUBLINGS = 10


class Begun(NamedTuple):
    """What a run began with: the driver's connection, what is noticed of it, and the time."""

    raw: Any
    noticed: Session | None
    monotonic: float


class RollBack(Exception):
    """Rolls back what the task has written."""


class LeftItsTransaction(Exception):
    """An atomic task that ended its transaction, or left it otherwise: what holds it is gone."""


class EndedByServer(Exception):
    """The server ended the transaction of an atomic task, which stood idle or lasted too long."""


def run_atomically(
    run: Callable[[], Outcome],
    claimed: Claimed,
    worker_id: int,
    now: Callable[[], datetime],
    failed: Callable[[BaseException], Outcome],
) -> tuple[Outcome, bool]:
    """Return the outcome of `run`, and whether it is already in the database.

    What the task writes is committed only if the row still belongs to this worker, and else rolled
    back. So it happens once, whatever pauses or dies. If the call fails, its writes are rolled
    back, and the caller must store the outcome. If the connection is lost meanwhile, the call is
    to be replaced, unless the row shows that the commit succeeded, or the server ended the
    connection because it stood idle. `failed` makes the outcome of a call that raised this error.
    """
    connection = queue_connection()
    database = database_of(connection)
    outcome = None
    closed = False
    # Django may have opened another connection by the time that this one is asked about.
    began = Begun(None, None, time.monotonic())
    try:
        with ExitStack() as bounds, _begun(connection):
            noticed = getattr(connection, SESSION, None)
            began = Begun(connection.connection, noticed, time.monotonic())
            database.mark(connection)
            outcome = run()
            closed = connection.closed_in_transaction
            if outcome.state != States.SUCCEEDED:
                raise RollBack
            _check_transaction(connection, began.raw)
            bounds.enter_context(_bounded(connection))
            store_progress([claimed], worker_id)
            if not write(connection, [(claimed, outcome)], worker_id, now()):
                raise LeftItsTransaction(NOT_FOUND)
        return outcome, True
    except RollBack:
        assert outcome is not None
        if closed:
            # The task did; Django itself closes none within a block.
            return outcome, False
        return _unless_connection_lost(connection, claimed, outcome, began), False
    except LeftItsTransaction as error:
        return _like(outcome, failed(error), now()), False
    except (DatabaseError, InterfaceError) as error:
        if not database.is_lost(error) and not database.is_idle_end(error):
            # The commit checks deferred constraints. Violating one is a failure of the task.
            error.add_note(f"its effects could not be committed: {type(error).__name__}: {error}")
            return _like(outcome, failed(error), now()), False
        connection.close()
        if outcome is not None and _committed(claimed, worker_id):
            return outcome, True
        reason = _idle_end(connection, error, began)
        if reason is not None:
            return _like(outcome, failed(EndedByServer(reason)), now()), False
        lost = Outcome(States.INTERRUPTED, finished=now(), error=LOST % error)
        return _interrupted(claimed, lost), False


def _check_transaction(connection: Any, raw: Any) -> None:
    """Raise when the transaction is not the one any more that the task was to run in."""
    if connection.connection is not raw or connection.closed_in_transaction:
        raise LeftItsTransaction(CLOSED)
    if connection.needs_rollback:
        raise LeftItsTransaction(ROLLED_BACK) from connection.rollback_exc
    if not database_of(connection).is_same_transaction(connection):
        raise LeftItsTransaction(ENDED)


def _idle_end(connection: Any, error: BaseException | None, began: Begun) -> str | None:
    """Return why the server ended a connection that is dead, if its settings explain it.

    A server that is gone or was started meanwhile has lost the connection, and so has one whose
    limits the task has not reached.
    """
    database = database_of(connection)
    seconds = time.monotonic() - began.monotonic
    ended = f"the server ended its transaction after {seconds:.3g} s"
    noticed = began.noticed
    if error is not None and database.is_idle_end(error):
        return f"{ended}: {error}".strip()
    if noticed is not None and noticed.code in database.idle_codes:
        return f"{ended} ({noticed.code})"
    try:
        uptime, limits = database.limits(connection)
    except (DatabaseError, InterfaceError):
        connection.close()
        return None
    reached = [
        f"{name} = {limit:g} s" for name, limit in limits.items() if 0 < limit <= seconds < uptime
    ]
    if noticed is not None and noticed.limited and seconds < uptime:
        reached.append("a limit that the task had set itself")
    return f"{ended}: {', '.join(reached)}" if reached else None


def _like(before: Outcome | None, outcome: Outcome, now: datetime) -> Outcome:
    """Return an outcome with the times and the output of the run that it replaces."""
    outcome.finished = now
    if before is not None:
        outcome.started, outcome.stdout, outcome.stderr = (
            before.started,
            before.stdout,
            before.stderr,
        )
    return outcome


def _bounded(connection: Any) -> AbstractContextManager[None]:
    """Bound what is left of the transaction, now that no code of the task runs in it any more."""
    return database_of(connection).bounded(connection, Bounds(patience.idle, patience.idle))


@contextmanager
def _begun(connection: Any) -> Iterator[None]:
    """Open a transaction for writing. Repeat that while the file is locked, as elsewhere."""
    database = database_of(connection)
    with ExitStack() as stack:
        repeat(lambda: stack.enter_context(database.transaction(connection)), connection)
        yield


def _unless_connection_lost(
    connection: Any, claimed: Claimed, outcome: Outcome, began: Begun
) -> Outcome:
    """Return the outcome, changed to one to be replaced if the call failed by a lost connection.

    If a timeout broke the connection, that is a failure of the task, or the call would time out
    again and again.
    """
    if outcome.state != States.FAILED or outcome.timed_out:
        return outcome
    if connection.connection is began.raw and connection.is_usable():
        return outcome
    connection.close()
    reason = _idle_end(connection, None, began)
    if reason is not None:
        outcome.error = f"{reason}\n\n{outcome.error or ''}"
        return outcome
    outcome.state, outcome.next_attempt = States.INTERRUPTED, None
    return _interrupted(claimed, outcome)


def _interrupted(claimed: Claimed, outcome: Outcome) -> Outcome:
    """Return an outcome as that of a call whose connection was lost.

    The pause grows, since a call that breaks its own connection would run again and again.
    """
    outcome.replaced = not held(claimed)
    doublings = min(claimed.attempt - 1, MOST_DOUBLINGS)
    outcome.pause_seconds = min(SHORTEST_PAUSE * 2.0**doublings, LONGEST_PAUSE)
    if not outcome.replaced:
        outcome.error = f"{(outcome.error or '').rstrip()}; held for a person to decide"
    return outcome


def _committed(claimed: Claimed, worker_id: int) -> bool:
    """Return whether a commit whose answer was lost succeeded.

    The result is False if the database does not answer. That is safe: if the commit did succeed,
    the row is no longer PROCESSING, and refuses the outcome that is written later.
    """
    connection = queue_connection()
    rows = TaskExec.objects.using(connection.alias)
    try:
        return rows.filter(pk=claimed.pk, state=States.SUCCEEDED, worker=worker_id).exists()
    except (OperationalError, InterfaceError):
        connection.close()
        return False
