"""Read calls from outside a worker: how one stands, its attempts, its replacement."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Max, Q
from django.db.models.functions import Left

from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.transaction import in_autocommit

States = TaskExec.States

# What the attempts of a call are read with: all but the captured output.
ATTEMPT_FIELDS = (
    *("task_name", "args", "kwargs", "queue", "priority", "attempt", "root", "replaced_by"),
    *("due", "created", "started", "finished", "state", "result", "error", "error_type"),
    *("error_message",),
    *("worker__label",),
)
# What the course of an attempt is read with.
COURSE_FIELDS = (
    *("state", "attempt", "root", "replaced_by", "due", "created", "started", "finished"),
    *("error_type", "cancelled"),
)
LARGEST_ID = 2**63 - 1
# How much of an error a list of failures shows.
ERROR_SHOWN = 500


@in_autocommit
def find(connection: Any, pk: int) -> TaskExec | None:
    """Return a row as it stands, or None when there is none."""
    return TaskExec.objects.using(connection.alias).filter(pk=pk).first()


@in_autocommit
def mark_awaited(connection: Any, pk: int) -> None:
    """Have the end of a row announced. A row that has ended stays as it is."""
    rows = TaskExec.objects.using(connection.alias)
    rows.filter(pk=pk, state__in=States.todo(), awaited=False).update(awaited=True)


@in_autocommit
def failures(connection: Any, names: Sequence[str], limit: int) -> list[TaskExec]:
    """Return the calls that failed for good, newest first; with `names` those of these tasks.

    Neither a retry nor a person has replaced them. Each has the beginning of its error as
    `message_start` and `error_start`.
    """
    rows = TaskExec.objects.using(connection.alias).filter(state=States.FAILED, replaced_by=None)
    if names:
        rows = rows.filter(task_name__in=names)
    shown = rows.only("task_name", "queue", "attempt", "finished", "error_type").annotate(
        message_start=Left("error_message", ERROR_SHOWN), error_start=Left("error", ERROR_SHOWN)
    )
    return list(shown.order_by("-finished", "-pk")[:limit])


def has_ended(row: TaskExec) -> bool:
    """Return whether nothing happens to a row any more, unless a person acts on it.

    Starting a worker that knows its task, where none did, is such an act.
    """
    return row.state in States.done()


@in_autocommit
def replacements(connection: Any, ids: Sequence[int]) -> dict[int, int | None]:
    """Return, for each of the rows, the id of its replacement."""
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=ids)
    return dict(rows.values_list("pk", "replaced_by_id"))


@in_autocommit
def attempts(connection: Any, result_id: Any) -> list[TaskExec]:
    """Return the rows of a call, oldest first, by the id of its first row; none for any other id.

    One query, unless the call was merged into another that waited with the same unique key.
    """
    pk = row_id(result_id)
    rows = _rows(connection, pk) if pk else {}
    if not rows:
        return []
    first = next(iter(rows.values()))
    chain = {first.pk: first}
    replacement = first.replaced_by_id
    # Somebody may have written ids by hand that lead back.
    while replacement and replacement not in chain:
        if replacement not in rows:
            rows = _rows_from(connection, replacement)
        if replacement not in rows:
            break
        chain[replacement] = rows[replacement]
        replacement = rows[replacement].replaced_by_id
    return list(chain.values())


@in_autocommit
def attempts_around(connection: Any, row: TaskExec, most: int) -> tuple[list[TaskExec], int]:
    """Return some attempts of the call of a row, oldest first, and the number of the last attempt.

    They are the last `most` up to a few after the row, without payloads and texts.
    """
    first = row.root_id or row.pk
    rows = TaskExec.objects.using(connection.alias).filter(Q(pk=first) | Q(root=first))
    near = rows.filter(attempt__lte=row.attempt + most // 2).only(*COURSE_FIELDS)
    found = list(near.order_by("-attempt", "-pk")[:most])
    last: int | None = rows.aggregate(last=Max("attempt"))["last"]
    return found[::-1], row.attempt if last is None else last


def row_id(result_id: Any) -> int | None:
    """Return the number in a result id, or None when no id of ours is written so."""
    if not isinstance(result_id, str) or not (result_id.isascii() and result_id.isdigit()):
        return None
    number = int(result_id) if len(result_id) < 20 else 0
    return number if 0 < number <= LARGEST_ID and str(number) == result_id else None


def _rows(connection: Any, first: int) -> dict[int, TaskExec]:
    found = _query(connection).filter(Q(pk=first, root__isnull=True) | Q(root=first))
    return {row.pk: row for row in found.order_by("attempt", "pk")}


def _rows_from(connection: Any, pk: int) -> dict[int, TaskExec]:
    row = _query(connection).filter(pk=pk).first()
    return {} if row is None else {row.pk: row, **_rows(connection, row.root_id or row.pk)}


def _query(connection: Any) -> Any:
    # The queue's database: a replica may not have a row yet that was written a moment ago.
    rows = TaskExec.objects.using(connection.alias)
    return rows.select_related("worker").only(*ATTEMPT_FIELDS)
