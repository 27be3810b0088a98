"""Write how far running calls are, as their tasks report it, and what they print."""

from collections.abc import Sequence
from typing import Any

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import marks
from django_toosimple_q.execution import Claimed
from django_toosimple_q.progress import LONGEST_MESSAGE
from django_toosimple_q.store.transaction import in_bounded_transaction, queue_database

COLUMNS = ("progress_done", "progress_total", "progress_message")
TAIL_COLUMNS = ("output_tail",)


def store_progress(claimed: Sequence[Claimed], worker_id: int, *, waits: bool = True) -> None:
    """Write what these calls have reported since it was last written, by one statement.

    A row that is no longer this worker's stays as it is, and so does one that another session has
    locked, unless this `waits` for it.
    """
    # The reports as they are now: a task may put another in their place meanwhile.
    reports = {row.pk: row.reported for row in claimed}
    fresh = {pk: one for pk, one in reports.items() if one is not None and not one.stored}
    if not fresh:
        return
    # Ids ascending, as in every statement over several rows.
    rows = [(pk, one.done, one.total, one.message) for pk, one in sorted(fresh.items())]
    try:
        free = _write(rows, worker_id, COLUMNS, waits)
    except Exception as error:
        if not queue_database().is_data_error(error):
            raise
        # A message in characters that this database does not have.
        plain = [(pk, done, total, ascii(text)[:LONGEST_MESSAGE]) for pk, done, total, text in rows]
        free = _write(plain, worker_id, COLUMNS, waits)
    for pk in free:
        fresh[pk].stored = True


def store_tails(claimed: Sequence[Claimed], worker_id: int) -> None:
    """Write the end of what these calls have printed, by one statement, where that is new.

    A row that is no longer this worker's, or that another session has locked, stays as it is.
    """
    tails = {row.pk: row.tail for row in claimed}
    # The length first: what is printed meanwhile is written the next time.
    fresh = [
        (pk, tail, tail.length, tail.text())
        for pk, tail in sorted(tails.items())
        if tail is not None and tail.length > tail.stored
    ]
    if not fresh:
        return
    try:
        rows = [(pk, text) for pk, _, _, text in fresh]
        free = _write(rows, worker_id, TAIL_COLUMNS, False)
    except Exception as error:
        if not queue_database().is_data_error(error):
            raise
        plain = [(pk, text.encode("ascii", "backslashreplace").decode()) for pk, text in rows]
        free = _write(plain, worker_id, TAIL_COLUMNS, False)
    for pk, tail, length, _text in fresh:
        if pk in free:
            tail.stored = length


@in_bounded_transaction
def _write(
    connection: Any,
    rows: Sequence[Sequence[Any]],
    worker_id: int,
    columns: Sequence[str],
    waits: bool,
) -> set[int]:
    """Write rows (id first, then `columns`); return the ids of those that no lock kept from it."""
    database = database_of(connection)
    free = {row[0] for row in rows}
    if not waits:
        where = f"id IN ({marks(rows)})"
        ids = sorted(free)
        found = database.lock_rows(connection, ["id"], where, ids, len(ids), for_values=True)
        free = {pk for (pk,) in found}
        rows = [row for row in rows if row[0] in free]
    if rows:
        database.update_rows(connection, columns, rows, worker_id)
    return free
