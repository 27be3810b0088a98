"""Write what came of claimed rows, each only while it is still this worker's."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import compress
from operator import attrgetter
from typing import Any

from django.db import DatabaseError

from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.notify import announce, announce_done, sender
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.dialect.base import TABLE, Place
from django_toosimple_q.store.step import adapt, queue_connection, statement, step
from django_toosimple_q.store.task_execs.cancel import cancelled_rows
from django_toosimple_q.store.task_execs.claim import Claimant, claim, claim_rows
from django_toosimple_q.store.task_execs.enqueue import _insert, successor

States = TaskExec.States
Finished = tuple[Claimed, Outcome]

ALWAYS = ("state", "started", "finished")
TEXTS = ("result", "result_preview", "error", "stdout", "stderr")
texts_of = attrgetter(*TEXTS)


def finish(finished: Sequence[Finished], worker_id: int, now: datetime) -> set[int]:
    """Store outcomes, and the rows that follow them, and return the ids that were still ours.

    An id that is missing was rescued meanwhile: its outcome is dropped, its replacement counts.
    An outcome that the database refuses becomes FAILED with the reason; its neighbours stay.
    """
    try:
        return _finish(finished, worker_id, now)
    except (DatabaseError, ValueError) as error:
        if not dialect_of(queue_connection()).is_data_error(error):
            raise
    kept: set[int] = set()
    for one in finished:
        try:
            kept |= _finish([one], worker_id, now)
        except (DatabaseError, ValueError) as error:
            if not dialect_of(queue_connection()).is_data_error(error):
                raise
            kept |= _finish([(one[0], _refused(one[1], error))], worker_id, now)
    return kept


def turn_over(
    finished: Sequence[Finished],
    claimant: Claimant,
    places: Sequence[Place],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str] = (),
) -> tuple[set[int], list[Claimed]]:
    """Finish, and claim what is next, in one transaction if possible; see `finish` and `claim`."""
    if any(place.lane for place in places):
        # What runs in a lane is counted under its lock. Under REPEATABLE READ a transaction that
        # has read before sees what ran before.
        kept = finish(finished, claimant.worker_id, now) if finished else set()
        return kept, claim(claimant, places, limit, now, skipped_names)
    try:
        return _turn_over(finished, claimant, places, limit, now, skipped_names)
    except (DatabaseError, ValueError) as error:
        if not dialect_of(queue_connection()).is_data_error(error):
            raise
    return finish(finished, claimant.worker_id, now), []


@statement
def stored(connection: Any, finished: Sequence[Finished], worker_id: int) -> set[int]:
    """Return the ids of rows that have these very outcomes from this worker already."""
    ids = [claimed.pk for claimed, _ in finished]
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids, worker=worker_id)
    ends = {pk: end for pk, *end in rows.values_list("pk", "state", "finished")}
    return {
        claimed.pk
        for claimed, outcome in finished
        if ends.get(claimed.pk) == [outcome.state, outcome.finished]
    }


@step
def hand_back(
    connection: Any,
    rows: Sequence[Claimed],
    worker_id: int,
    now: datetime,
    pause_seconds: float = 0,
) -> set[int]:
    """Make claimed rows that have not started QUEUED again and return their ids.

    With a pause they sleep first, so that their worker does not claim them again at once.
    A unique row may meet a newer one that waits: it is replaced by that one. One that somebody
    has cancelled meanwhile has ended.
    """
    taken_back = set(cancelled_rows(connection, [row.pk for row in rows]))
    cancelled = Outcome(States.INTERRUPTED, finished=now, error="cancelled")
    ended = [(row, cancelled) for row in rows if row.pk in taken_back]
    rows = [row for row in rows if row.pk not in taken_back]
    state, due = States.QUEUED.value, {}
    if pause_seconds:
        state = States.SLEEPING.value
        due = {"due": adapt(connection, now + timedelta(seconds=pause_seconds))}
    columns = ("state", "started", "lane", *due)
    returned = {
        row.pk: (row.pk, state, None, row.lane, *due.values())
        for row in rows
        if not row.unique_hash
    }
    ids: set[int] = set()
    if returned:
        ids.update(
            dialect_of(connection).update_rows(
                connection, columns, list(returned.values()), worker_id
            )
        )
    if ids:
        announce(connection, sender(dialect_of(connection).family))
        marks = ", ".join(["%s"] * len(ids))
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {TABLE} SET worker_id = NULL WHERE id IN ({marks})", sorted(ids)
            )
    replaced = Outcome(
        States.INTERRUPTED,
        finished=now,
        error="handed back",
        replaced=True,
        pause_seconds=pause_seconds,
    )
    ended += [(row, replaced) for row in rows if row.unique_hash]
    return ids | (_write(connection, ended, worker_id, now) if ended else set())


@step
def _finish(
    connection: Any, finished: Sequence[Finished], worker_id: int, now: datetime
) -> set[int]:
    return _write(connection, finished, worker_id, now)


@step
def _turn_over(
    connection: Any,
    finished: Sequence[Finished],
    claimant: Claimant,
    places: Sequence[Place],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str],
) -> tuple[set[int], list[Claimed]]:
    kept = _write(connection, finished, claimant.worker_id, now) if finished else set()
    return kept, claim_rows(connection, claimant, places, limit, now, skipped_names)


def _write(
    connection: Any, finished: Sequence[Finished], worker_id: int, now: datetime
) -> set[int]:
    # Ids ascending, here as everywhere: two transactions then never wait for each other in a ring.
    ordered = sorted(finished, key=lambda one: one[0].pk)
    columns, rows = _written(connection, ordered)
    dialect = dialect_of(connection)
    kept = dialect.update_rows(connection, columns, rows, worker_id)
    if any(kept.values()):
        announce_done(connection, sender(dialect.family))
    if any(claimed.lane for claimed, _ in ordered):
        # There may be room now for what nobody could claim.
        announce(connection, sender(dialect.family))
    followed = [
        (claimed, outcome)
        for claimed, outcome in ordered
        if claimed.pk in kept and (outcome.replaced or outcome.next_attempt)
    ]
    if followed:
        taken_back = cancelled_rows(connection, [claimed.pk for claimed, _ in followed])
        followed = [one for one in followed if one[0].pk not in taken_back]
    if followed:
        followers = _insert(connection, [_follower(*one, now) for one in followed])
        link(
            connection, [(one[0].pk, row.pk) for one, row in zip(followed, followers, strict=True)]
        )
    return set(kept)


def link(connection: Any, pairs: Sequence[tuple[int, int]]) -> None:
    """Point rows that this transaction holds to the rows that follow them."""
    cases = " ".join(["WHEN %s THEN %s"] * len(pairs))
    marks = ", ".join(["%s"] * len(pairs))
    params = [pk for pair in pairs for pk in pair] + [pk for pk, _ in pairs]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET replaced_by_id = CASE id {cases} END WHERE id IN ({marks})", params
        )


def _follower(claimed: Claimed, outcome: Outcome, now: datetime) -> TaskExec:
    following = outcome.next_attempt
    return successor(
        claimed,
        now=now,
        delay_seconds=following.delay_seconds if following else outcome.pause_seconds,
        retries=following.retries if following else claimed.retries,
        retry_delay=following.retry_delay if following else claimed.retry_delay,
        deaths=claimed.deaths,
    )


def _written(
    connection: Any, finished: Sequence[Finished]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns to write and, for each outcome, the row of id and values.

    Texts that no outcome of the batch fills stay empty, as nearly all do.
    """
    texts = [texts_of(outcome) for _, outcome in finished]
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


def _refused(outcome: Outcome, error: Exception) -> Outcome:
    reason = ascii(f"{type(error).__name__}: {error}")[:1000]
    return Outcome(
        States.FAILED,
        started=outcome.started,
        finished=outcome.finished,
        error=f"the database refused what this task left behind: {reason}",
    )
