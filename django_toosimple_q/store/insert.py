"""The one door for new rows: insert them, and wake the workers that may run them."""

from collections.abc import Sequence
from typing import Any

from django_toosimple_q import traces, wakeups
from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import TABLE, marks
from django_toosimple_q.models import PREVIEW_LENGTH, TaskExec
from django_toosimple_q.store.texts import storable
from django_toosimple_q.store.transaction import adapt, in_autocommit, in_transaction

COLUMNS = (
    *("task_name", "args", "kwargs", "queue", "priority", "retries", "retry_delay", "due"),
    *("created", "state", "attempt", "root_id", "crash_count", "unique_key", "unique_hash"),
    *("exclusive", "timeout", "expires", "concurrency_key", "hold", "stdout", "stderr"),
    *("code_version", "refused_by", "arguments_preview"),
)
DATETIMES = frozenset({"due", "created", "expires"})
ROWS_PER_STATEMENT = 250


@in_autocommit
def add_one(connection: Any, row: TaskExec) -> TaskExec:
    """Insert a row by one statement and wake the workers; see `add`."""
    with traces.enqueuing([row]):
        [added] = _insert(connection, [row], merge=row.unique_key is not None)
    announce_work(connection)
    return added


@in_transaction
def add_many(connection: Any, rows: Sequence[TaskExec]) -> list[TaskExec]:
    """Insert the rows of new calls in one transaction and wake the workers; see `add`."""
    return add(connection, rows)


def add(connection: Any, rows: Sequence[TaskExec]) -> list[TaskExec]:
    """Insert the rows of new calls inside the caller's transaction.

    The workers are woken once it commits. Return, in order, each row or the waiting row that it was
    merged into.
    """
    with traces.enqueuing(rows):
        return _add(connection, rows)


def _add(connection: Any, rows: Sequence[TaskExec]) -> list[TaskExec]:
    if not rows:
        return []
    plain = [row for row in rows if row.unique_key is None]
    for start in range(0, len(plain), ROWS_PER_STATEMENT):
        _insert(connection, plain[start : start + ROWS_PER_STATEMENT], merge=False)
    added = list(rows) if len(plain) == len(rows) else _merge(connection, rows)
    announce_work(connection)
    return added


def add_replacements(connection: Any, replaced: Sequence[tuple[int, TaskExec]]) -> dict[int, int]:
    """Insert the replacement of each row, point the row to it, and return new ids by old id.

    The caller's transaction holds the rows that are replaced.
    """
    if not replaced:
        return {}
    rows = _add(connection, [row for _, row in replaced])
    ids = {old: row.pk for (old, _), row in zip(replaced, rows, strict=True)}
    pairs = sorted(ids.items())
    cases = " ".join(["WHEN %s THEN %s"] * len(pairs))
    params = [pk for pair in pairs for pk in pair] + [pk for pk, _ in pairs]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET replaced_by_id = CASE id {cases} END WHERE id IN ({marks(pairs)})",
            params,
        )
    return ids


def announce_work(connection: Any) -> None:
    """Wake the workers once the caller's transaction has committed."""
    wakeups.announce(connection, wakeups.sender(database_of(connection)))


def announce_cancelled(connection: Any) -> None:
    """Tell the workers that a claimed call was cancelled, once the transaction has committed."""
    wakeups.announce_cancelled(connection, database_of(connection))


def announce_done(connection: Any) -> None:
    """Wake the callers that wait for a row to end, once the transaction has committed."""
    wakeups.announce_done(connection, database_of(connection))


def _merge(connection: Any, rows: Sequence[TaskExec]) -> list[TaskExec]:
    """Insert the unique ones of some rows, or merge them into the rows that wait."""
    # By key: two transactions that insert the same keys in opposite orders would deadlock. Once
    # each: a statement cannot merge into a row of its own.
    by_key = {row.unique_key: row for row in reversed(rows) if row.unique_key is not None}
    unique = [by_key[key] for key in sorted(by_key)]
    waiting: dict[str, TaskExec] = {}
    for start in range(0, len(unique), ROWS_PER_STATEMENT):
        batch = unique[start : start + ROWS_PER_STATEMENT]
        keys = [str(row.unique_key) for row in batch]
        waiting.update(zip(keys, _insert(connection, batch, merge=True), strict=True))
    return [row if row.unique_hash == "" else waiting[row.unique_hash] for row in rows]


def _insert(connection: Any, rows: Sequence[TaskExec], *, merge: bool) -> list[TaskExec]:
    values = [_values(connection, row) for row in rows]
    traced = traces.columns()
    if traced:
        for row, value in zip(rows, values, strict=True):
            value.append(row.trace_context)
    columns = COLUMNS + traced
    inserted = database_of(connection).insert(connection, columns, values, merge=merge)
    stored = []
    for row, (pk, is_new) in zip(rows, inserted, strict=True):
        row.pk = pk
        row._state.adding = False
        row._state.db = connection.alias
        stored.append(row if is_new else _waiting_row(connection, row))
    return stored


def _waiting_row(connection: Any, row: TaskExec) -> TaskExec:
    # A MariaDB snapshot from before the other caller's commit may not show it: then what we know
    # of it (its id, its arguments) is what the caller gets.
    return TaskExec.objects.using(connection.alias).filter(pk=row.pk).first() or row


def _values(connection: Any, row: TaskExec) -> list[Any]:
    raw = row.__dict__
    values = [raw[column] for column in COLUMNS]
    for index, column in enumerate(COLUMNS):
        if column in DATETIMES:
            values[index] = adapt(connection, values[index])
    values[1], values[2] = values[1].text, values[2].text
    values[-1] = storable(connection, values[-1], PREVIEW_LENGTH)
    return values
