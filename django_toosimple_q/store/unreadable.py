"""Set rows aside that cannot be read, so that the others go on.

Such rows were written past Django: `infinity` as a date, or text in a number on SQLite. They are
looked for only after a statement over many rows has failed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django_toosimple_q import signals
from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import TABLE, Bucket, marks
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.claim import claimed_rows, columns
from django_toosimple_q.store.transaction import in_autocommit, in_transaction

REASON_LENGTH = 1000


@in_transaction
def set_aside_waiting(connection: Any, buckets: Sequence[Bucket], limit: int) -> int:
    """Make those of the rows that a claim would take INVALID that cannot be read; return how many.

    Each with the reason in `error`. They stay so until a person queues them again.
    """
    database = database_of(connection)
    candidates = [
        pk
        for bucket in buckets
        for (pk,) in database.lock_rows(
            connection,
            ["id"],
            "state = 'QUEUED' AND queue = %s AND concurrency_key = %s",
            [*bucket],
            limit,
            order="priority DESC, due, id",
        )
    ]
    return len(candidates) - len(read_each(connection, candidates))


@in_autocommit
def read(connection: Any, ids: Sequence[int]) -> list[Claimed]:
    """Return the rows of these ids, in one query unless some cannot be read and are set aside."""
    if not ids:
        return []
    names = ", ".join(database_of(connection).raw(columns()))
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {names} FROM {TABLE} WHERE id IN ({marks(ids)})", [*ids])
            return claimed_rows(connection, cursor.fetchall())
    except Exception as error:
        if database_of(connection).is_lost(error):
            raise
    return [claimed for claimed, _ in read_each(connection, ids)]


def read_each(
    connection: Any, ids: Iterable[int], extra: Sequence[str] = ()
) -> list[tuple[Claimed, tuple[Any, ...]]]:
    """Return the rows of these ids that can be read, with `extra` columns; set the others aside."""
    own = columns()
    names = ", ".join((*database_of(connection).raw(own), *extra))
    readable = []
    for pk in ids:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {names} FROM {TABLE} WHERE id = %s", [pk])
                row = cursor.fetchone()
            [claimed] = claimed_rows(connection, [row[: len(own)]])
        except Exception as error:
            if database_of(connection).is_lost(error):
                raise
            set_aside(connection, pk, f"this row cannot be read: {reason_of(error)}")
        else:
            readable.append((claimed, row[len(own) :]))
    return readable


def set_aside(connection: Any, pk: int, error: str) -> None:
    """Make a row INVALID with an error, inside the caller's transaction."""
    database = database_of(connection)
    moment, params = database.clock(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET state = 'INVALID', finished = {moment}, error = %s,"
            " unique_key = NULL WHERE id = %s AND state IN ('QUEUED', 'PROCESSING')",
            [*params, error, pk],
        )
        changed = cursor.rowcount
    if changed:
        signals.row_set_aside.send_robust(sender=TaskExec, pk=pk, error=error)


def reason_of(error: Exception) -> str:
    """Return what an error says, as text that every database stores."""
    return ascii(f"{type(error).__name__}: {error}")[1:-1][:REASON_LENGTH]
