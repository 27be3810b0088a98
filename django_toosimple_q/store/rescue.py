"""Rescue rows whose worker is gone, and queue rows again whose task is known again."""

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import ENDED, TABLE, WORKERS, marks
from django_toosimple_q.exceptions import UnknownTask
from django_toosimple_q.execution import Claimed
from django_toosimple_q.failure import NOT_BEGUN, UNKNOWN, dotted_name
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.cancel import cancelled_rows
from django_toosimple_q.store.claim import claimed_rows, columns
from django_toosimple_q.store.enqueue import replacement_of
from django_toosimple_q.store.insert import add_replacements, announce_work
from django_toosimple_q.store.texts import TASK_NAMES, storable, storable_names
from django_toosimple_q.store.transaction import (
    adapt,
    in_autocommit,
    in_bounded_transaction,
    is_locked,
    passing_over_locks,
)
from django_toosimple_q.store.unreadable import read_each, reason_of, set_aside

States = TaskExec.States

BATCH = 500
# Those that one version of the code tries once.
OTHER_CODE = [dotted_name(kind) for kind in NOT_BEGUN if kind is not UnknownTask]
REQUEUED = (
    "started IS NULL AND replaced_by_id IS NULL AND"
    f" ((finished IS NULL AND (error IS NULL OR error_type = '{UNKNOWN}'))"
    f" OR error_type IN ({', '.join(f'{chr(39)}{kind}{chr(39)}' for kind in OTHER_CODE)}))"
)
CRASH_LIMIT = 3
# How long to rescue rows one by one when a lock keeps one of them from it.
SINGLY_SECONDS = 2.0

# Level-triggered: whatever left a row with a worker that is not alive, the next tick finds it.
ORPHANED = (
    "state = 'PROCESSING' AND worker_id IN ("
    f"SELECT id FROM {WORKERS} WHERE stopped IS NOT NULL OR rescued IS NOT NULL)"
)
# Its worker's row was deleted; the worker may be alive and come back for it.
OWNERLESS = (
    "state = 'PROCESSING' AND (worker_id IS NULL"
    f" OR NOT EXISTS (SELECT 1 FROM {WORKERS} w WHERE w.id = worker_id))"
)


class Rescue(NamedTuple):
    """What became of an orphaned row: replaced by another, held, or failed for good."""

    task_id: int
    task_name: str
    worker_id: int | None
    replaced_by: int | None
    state: str


def rescue(now: datetime, reason: str = "its worker died") -> list[Rescue]:
    """Interrupt and replace, a batch at most, the rows of workers that stopped or died.

    A unique row whose replacement is to be merged into a row that stays locked is left for later.
    """
    try:
        return _rescue(ORPHANED, [], now, reason)
    except DatabaseError as error:
        if not is_locked(error):
            raise
    rescued: list[Rescue] = []
    until = time.monotonic() + SINGLY_SECONDS
    for pk in _orphaned():
        if time.monotonic() < until:
            with passing_over_locks():
                rescued += _rescue(f"{ORPHANED} AND id = %s", [pk], now, reason)
    return rescued


@in_bounded_transaction
def _rescue(
    connection: Any, where: str, params: Sequence[Any], now: datetime, reason: str
) -> list[Rescue]:
    return interrupt_where(connection, where, params, now, reason)


@in_autocommit
def _orphaned(connection: Any) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {TABLE} WHERE {ORPHANED} ORDER BY unique_hash, id LIMIT %s", [BATCH]
        )
        return [pk for (pk,) in cursor.fetchall()]


@in_bounded_transaction
def orphans(connection: Any) -> list[int]:
    """Return the ids of PROCESSING rows whose worker has no row, a batch at most."""
    rows = database_of(connection).lock_rows(
        connection, ["id"], OWNERLESS, [], BATCH, order="worker_id"
    )
    return [row[0] for row in rows]


@in_bounded_transaction
def rescue_orphans(connection: Any, ids: Collection[int], now: datetime) -> list[Rescue]:
    """Interrupt and replace those of the rows whose worker still has no row."""
    if not ids:
        return []
    where = f"{OWNERLESS} AND id IN ({marks(ids)})"
    return interrupt_where(connection, where, list(ids), now, "its worker's row is gone")


def requeue_known(names: Sequence[str], version: str) -> int:
    """Make INVALID rows wait again that this code may begin, a batch at most; return how many.

    Those of the tasks `names`, unless code of this `version` has tried already. Rows that are
    INVALID for another reason have it in `error`. A worker of django-toosimple-q 1.x makes every
    row of a task that it does not know INVALID, those that run or have ended among them: these
    have `started` or `finished` set and no `error_type`, and a person has to decide about them.
    """
    ids = _known(names, version)
    return _requeue(ids) if ids else 0


@in_autocommit
def _known(connection: Any, names: Sequence[str], version: str) -> list[int]:
    names = storable_names(connection, names, TASK_NAMES)
    if not names:
        return []
    # Read first: InnoDB locks what it reads, and that may be all rows that are INVALID.
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {TABLE} WHERE {ENDED} AND state = 'INVALID' AND {REQUEUED}"
            f" AND (error_type NOT IN ({marks(OTHER_CODE)}) OR"
            f" REPLACE(refused_by, %s, '') = refused_by)"
            f" AND task_name IN ({marks(names)}) ORDER BY finished LIMIT %s",
            [*OTHER_CODE, f",{version},", *names, BATCH],
        )
        return [pk for (pk,) in cursor.fetchall()]


@in_bounded_transaction
def _requeue(connection: Any, ids: Sequence[int]) -> int:
    database = database_of(connection)
    where = f"state = 'INVALID' AND {REQUEUED} AND id IN ({marks(ids)})"
    rows = database.lock_rows(connection, ["id"], where, ids, BATCH)
    if not rows:
        return 0
    ids = [row[0] for row in rows]
    now, params = database.clock(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET worker_id = NULL, error = NULL, error_type = '',"
            f" error_message = '', finished = NULL,"
            f" state = CASE WHEN due > {now} THEN 'SLEEPING' ELSE 'QUEUED' END"
            f" WHERE state = 'INVALID' AND id IN ({marks(ids)})",
            [*params, *ids],
        )
        count = int(cursor.rowcount)
    announce_work(connection)
    return count


def interrupt_where(
    connection: Any,
    where: str,
    params: Sequence[Any],
    now: datetime,
    reason: str,
    how: str = "",
    crashes: int = 1,
) -> list[Rescue]:
    """Interrupt and replace PROCESSING rows inside the caller's transaction, a batch at most.

    Rows that another session has locked are skipped: a process that was stopped inside its own
    finish would block a plain UPDATE for ever. `how` the process ended is added to the error where
    it is known. `crashes` is added to each row's `crash_count`.
    """
    rows = _locked(connection, where, params)
    if not rows:
        return []
    verdict = partial(_interrupt, connection, now=now, reason=reason, how=how, crashes=crashes)
    try:
        with transaction.atomic(using=connection.alias):
            return verdict(rows)
    except Exception as error:
        if database_of(connection).is_lost(error):
            raise
    rescued = []
    for row in rows:
        try:
            with transaction.atomic(using=connection.alias):
                rescued += verdict([row])
        except Exception as error:
            if database_of(connection).is_lost(error):
                raise
            set_aside(connection, row[0].pk, f"this row cannot be replaced: {reason_of(error)}")
    return rescued


def _locked(connection: Any, where: str, params: Sequence[Any]) -> list[tuple[Claimed, int | None]]:
    """Lock a batch of rows and return each with its worker; those that cannot be read go aside."""
    database = database_of(connection)
    try:
        names = [*database.raw(columns()), "worker_id"]
        locked = database.lock_rows(connection, names, where, params, BATCH)
        claimed = claimed_rows(connection, [row[:-1] for row in locked])
        return [(one, row[-1]) for one, row in zip(claimed, locked, strict=True)]
    except Exception as error:
        if database.is_lost(error):
            raise
    ids = [pk for (pk,) in database.lock_rows(connection, ["id"], where, params, BATCH)]
    return [(one, worker) for one, (worker,) in read_each(connection, ids, ("worker_id",))]


def _interrupt(
    connection: Any,
    rows: Sequence[tuple[Claimed, int | None]],
    *,
    now: datetime,
    reason: str,
    how: str,
    crashes: int,
) -> list[Rescue]:
    """Interrupt and replace locked rows."""
    # The first crash only quarantines a row: the other rows of the same claim crashed with it.
    counts = {row.pk: row.crash_count + crashes for row, _ in rows}
    # A row that was cancelled while it ran has ended now.
    cancelled = set(cancelled_rows(connection, list(counts)))
    replaced_by = add_replacements(
        connection,
        [
            (row.pk, _replacement(row, now, counts[row.pk]))
            for row, _ in rows
            if counts[row.pk] < CRASH_LIMIT and not held(row) and row.pk not in cancelled
        ],
    )
    rescued = []
    with connection.cursor() as cursor:
        for row, worker_id in rows:
            state, error = _verdict(row, counts[row.pk], reason, how)
            if row.pk in cancelled:
                state, error = States.INTERRUPTED.value, f"cancelled; {error}"
            cursor.execute(
                f"UPDATE {TABLE} SET state = %s, finished = %s, error = %s, crash_count = %s"
                " WHERE id = %s AND state = 'PROCESSING'",
                [
                    *(state, adapt(connection, now), storable(connection, error)),
                    *(counts[row.pk], row.pk),
                ],
            )
            rescued.append(Rescue(row.pk, row.task_name, worker_id, replaced_by.get(row.pk), state))
    return rescued


def held(row: Claimed) -> bool:
    """Return whether an interrupted call waits for a person instead of being replaced.

    The row says so, too: during a deploy its rescuer may have code without its task. Where the
    two differ the cautious one counts.
    """
    task = tasks_registry.find(row)
    return row.hold or (task is not None and task.holds)


def _replacement(row: Claimed, now: datetime, crash_count: int) -> TaskExec:
    return replacement_of(
        row,
        now=now,
        retries=row.retries,
        retry_delay=row.retry_delay,
        crash_count=crash_count,
    )


def _verdict(row: Claimed, crash_count: int, reason: str, how: str) -> tuple[str, str]:
    full_reason = f"{reason}: {how}" if how else reason
    if crash_count >= CRASH_LIMIT:
        last = f"last {how}" if how else reason
        return States.FAILED.value, f"its worker died {crash_count} times: {last}"
    if held(row):
        return States.INTERRUPTED.value, f"{full_reason}; held for a person to decide"
    return States.INTERRUPTED.value, full_reason
