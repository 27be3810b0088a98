"""The rows of one call, from its first attempt to the last."""

from typing import Any

from django.db.models import Q

from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.step import queue_connection

# All but the captured output.
FIELDS = (
    *("task_name", "args", "kwargs", "queue", "priority", "attempt", "root", "replaced_by"),
    *("due", "created", "started", "finished", "state", "result", "error"),
    *("worker__label",),
)
LARGEST_ID = 2**63 - 1


def attempts(result_id: Any) -> list[TaskExec]:
    """Return the rows of a call, oldest first, by the id of its first row; none for any other id.

    One query, unless the call was merged into another that waited with the same unique key.
    """
    pk = row_id(result_id)
    rows = _rows(pk) if pk else {}
    if not rows:
        return []
    chain = [next(iter(rows.values()))]
    while chain[-1].replaced_by_id:
        following = chain[-1].replaced_by_id
        if following not in rows:
            rows = _rows_after(following)
        if following not in rows:
            break
        chain.append(rows[following])
    return chain


def row_id(result_id: Any) -> int | None:
    """Return the number in a result id, or None when no id of ours is written so."""
    if not isinstance(result_id, str) or not (result_id.isascii() and result_id.isdigit()):
        return None
    number = int(result_id) if len(result_id) < 20 else 0
    return number if 0 < number <= LARGEST_ID and str(number) == result_id else None


def _rows(first: int) -> dict[int, TaskExec]:
    found = _query().filter(Q(pk=first, root__isnull=True) | Q(root=first))
    return {row.pk: row for row in found.order_by("attempt", "pk")}


def _rows_after(pk: int) -> dict[int, TaskExec]:
    row = _query().filter(pk=pk).first()
    return {} if row is None else {row.pk: row, **_rows(row.root_id or row.pk)}


def _query() -> Any:
    # Written there a moment ago: a replica may not have it yet.
    database = queue_connection().alias
    return TaskExec.objects.using(database).select_related("worker").only(*FIELDS)
