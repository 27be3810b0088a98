"""Write the outcomes of claimed rows, each only while it is still this worker's."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import compress
from operator import attrgetter
from typing import Any, TypeVar

from django.db import DatabaseError

from django_toosimple_q import signals
from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import marks
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.fields import ERROR_TYPE_LENGTH
from django_toosimple_q.models import PREVIEW_LENGTH, TaskExec
from django_toosimple_q.moments import aware
from django_toosimple_q.store.cancel import cancelled_rows
from django_toosimple_q.store.enqueue import replacement_of
from django_toosimple_q.store.insert import add_replacements, announce_done, announce_work
from django_toosimple_q.store.texts import charsets, storable
from django_toosimple_q.store.transaction import (
    adapt,
    in_autocommit,
    in_bounded_transaction,
    is_locked,
    passing_over_locks,
    queue_database,
)

States = TaskExec.States

# How long to try outcomes one by one when some of them have to wait for another session.
UNLOCKED_SECONDS = 2.0

Finished = tuple[Claimed, Outcome]
R = TypeVar("R")

ALWAYS = ("state", "started", "finished")
TEXTS = (
    *("result", "result_preview", "error", "error_type", "error_message", "stdout", "stderr"),
    *("refused_by", "log_records"),
)
LENGTHS = {"result_preview": PREVIEW_LENGTH, "error_type": ERROR_TYPE_LENGTH}
texts_of = attrgetter(*TEXTS)


def finish(finished: Sequence[Finished], worker_id: int, now: datetime) -> set[int]:
    """Store outcomes and replacements; return the ids of the rows that were still ours.

    An id that is missing was rescued meanwhile: its outcome is dropped, its replacement counts.
    An outcome that cannot be stored becomes FAILED with the reason; its neighbours stay.
    """
    try:
        return _finish(finished, worker_id, now)
    except Exception as error:
        if not queue_database().is_data_error(error):
            raise
    return set().union(*(_store_one(_finish, one, worker_id, now) for one in finished))


def finish_unlocked(
    finished: Sequence[Finished], worker_id: int, now: datetime
) -> tuple[set[int], set[int]]:
    """Store the outcomes that no lock of another session keeps from it.

    Return the ids that were still ours, as `finish` does, and those whose outcome has to wait.
    """
    try:
        return _finish_unlocked(finished, worker_id, now)
    except Exception as error:
        # A replacement is to be merged into a row that is locked, or a value is refused.
        if not is_locked(error) and not queue_database().is_data_error(error):
            raise
    kept: set[int] = set()
    waits: set[int] = set()
    until = time.monotonic() + UNLOCKED_SECONDS
    for one in finished:
        waits.add(one[0].pk)
        if time.monotonic() < until:
            with passing_over_locks():
                mine, locked = _store_one(_finish_unlocked, one, worker_id, now)
                kept |= mine
                waits -= {one[0].pk} - locked
    return kept, waits


def _store_one(
    store: Callable[[Sequence[Finished], int, datetime], R],
    one: Finished,
    worker_id: int,
    now: datetime,
) -> R:
    """Store an outcome by `store`; one that the database refuses becomes FAILED with the reason."""
    try:
        return store([one], worker_id, now)
    except Exception as error:
        if not queue_database().is_data_error(error):
            raise
        claimed, outcome = one
        failed = _refused(outcome, error)
        stored = store([(claimed, failed)], worker_id, now)
        signals.outcome_refused.send_robust(
            sender=TaskExec, claimed=claimed, outcome=failed, error=error
        )
        return stored


@in_bounded_transaction
def _finish_unlocked(
    connection: Any, finished: Sequence[Finished], worker_id: int, now: datetime
) -> tuple[set[int], set[int]]:
    ids = [claimed.pk for claimed, _ in finished]
    where = f"id IN ({marks(ids)})"
    found = database_of(connection).lock_rows(connection, ["id"], where, ids, len(ids))
    free = {row[0] for row in found}
    # One that was deleted is not locked.
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=set(ids) - free)
    locked = set(rows.values_list("pk", flat=True))
    unlocked = [one for one in finished if one[0].pk in free]
    return write(connection, unlocked, worker_id, now) if unlocked else set(), locked


@in_autocommit
def stored(connection: Any, finished: Sequence[Finished], worker_id: int) -> set[int]:
    """Return the ids of rows that have these very outcomes from this worker already."""
    ids = [claimed.pk for claimed, _ in finished]
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids, worker=worker_id)
    ends = {
        pk: [state, finished and aware(finished)]
        for pk, state, finished in rows.values_list("pk", "state", "finished")
    }
    return {
        claimed.pk
        for claimed, outcome in finished
        if ends.get(claimed.pk) == [outcome.state, outcome.finished]
    }


@in_bounded_transaction
def _finish(
    connection: Any, finished: Sequence[Finished], worker_id: int, now: datetime
) -> set[int]:
    return write(connection, finished, worker_id, now)


def write(connection: Any, finished: Sequence[Finished], worker_id: int, now: datetime) -> set[int]:
    """Write outcomes inside the caller's transaction; return the ids of those that were ours."""
    # Ids ascending, here as everywhere: two transactions then never wait for each other in a ring.
    ordered = sorted(finished, key=lambda one: one[0].pk)
    columns, rows = _written(connection, ordered)
    kept = database_of(connection).update_rows(connection, columns, rows, worker_id)
    if any(kept.values()):
        announce_done(connection)
    if any(claimed.concurrency_key for claimed, _ in ordered):
        # Another call of the limited task may start now.
        announce_work(connection)
    replaced = [
        (claimed, outcome)
        for claimed, outcome in ordered
        if claimed.pk in kept and (outcome.replaced or outcome.next_attempt)
    ]
    if replaced:
        _replace(connection, replaced, now)
    return set(kept)


def _replace(connection: Any, replaced: Sequence[Finished], now: datetime) -> None:
    """Queue the next attempts, but not those of calls that were cancelled meanwhile."""
    cancelled = cancelled_rows(connection, [claimed.pk for claimed, _ in replaced])
    add_replacements(
        connection,
        [
            (claimed.pk, _replacement(claimed, outcome, now))
            for claimed, outcome in replaced
            if claimed.pk not in cancelled
        ],
    )


def _replacement(claimed: Claimed, outcome: Outcome, now: datetime) -> TaskExec:
    attempt = outcome.next_attempt
    return replacement_of(
        claimed,
        now=now,
        delay_seconds=attempt.delay_seconds if attempt else outcome.pause_seconds,
        retries=attempt.retries if attempt else claimed.retries,
        retry_delay=attempt.retry_delay if attempt else claimed.retry_delay,
        crash_count=claimed.crash_count,
    )


def _written(
    connection: Any, finished: Sequence[Finished]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns to write and, for each outcome, the row of id and values.

    Texts that no outcome of the batch fills stay empty, as nearly all do.
    """
    texts = [texts_of(outcome) for _, outcome in finished]
    if charsets(connection).codecs:
        texts = [_storable(connection, text) for text in texts]
    filled = [any(column) for column in zip(*texts, strict=True)]
    rows = [
        (
            claimed.pk,
            str(outcome.state),
            adapt(connection, outcome.started),
            adapt(connection, outcome.finished),
            *compress(text, filled),
        )
        for (claimed, outcome), text in zip(finished, texts, strict=True)
    ]
    return [*ALWAYS, *compress(TEXTS, filled)], rows


def _storable(connection: Any, texts: Sequence[str | None]) -> tuple[str | None, ...]:
    """Return the `TEXTS` of an outcome as the columns hold them."""
    return tuple(
        storable(connection, text, LENGTHS.get(name))
        for name, text in zip(TEXTS, texts, strict=True)
    )


def _refused(outcome: Outcome, error: Exception) -> Outcome:
    """Return the outcome to store in place of one that cannot be stored: FAILED with the reason."""
    reason = ascii(f"{type(error).__name__}: {error}")[:1000]
    failed = Outcome(States.FAILED, started=outcome.started, finished=outcome.finished)
    if isinstance(error, DatabaseError | UnicodeError):
        # Which of the texts it is, only a database that takes them one by one could say.
        failed.error = f"the database refused what this task left behind: {reason}"
        return failed
    failed.error = f"{outcome.error or ''}\nwhat follows it cannot be stored: {reason}".lstrip()
    failed.stdout, failed.stderr = outcome.stdout, outcome.stderr
    failed.log_records = outcome.log_records
    return failed
