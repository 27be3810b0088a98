"""Queue many calls again that have ended, each as its own replacement if it went wrong."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q import traces
from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import ENDED, marks
from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.enqueue import may_be_replaced, row_again
from django_toosimple_q.store.insert import add, add_replacements
from django_toosimple_q.store.transaction import in_transaction

AT_ONCE = 200


class Requeued(NamedTuple):
    """How many calls were queued again, and why one was not, if any."""

    queued: int
    error: str


@in_transaction
def requeue_many(connection: Any, ids: Sequence[int], now: datetime) -> Requeued:
    """Queue calls again in one transaction, by a few statements; at most `AT_ONCE`."""
    return requeue_ended(connection, ids, now)


def requeue_ended(connection: Any, ids: Sequence[int], now: datetime) -> Requeued:
    """Queue calls again inside the caller's transaction; at most `AT_ONCE`.

    Those that wait or run, that another row has replaced, or that another session has locked, are
    passed over.
    """
    where = f"id IN ({marks(ids)}) AND {ENDED} AND replaced_by_id IS NULL"
    found = database_of(connection).lock_rows(connection, ["id"], where, ids, len(ids))
    rows = TaskExec.objects.using(connection.alias).filter(pk__in=[pk for (pk,) in found])
    replaced: list[tuple[int, TaskExec]] = []
    others: list[TaskExec] = []
    error = ""
    for old in rows.defer("result", "error", "error_message", "stdout", "stderr").order_by("pk"):
        replaces = may_be_replaced(old)
        try:
            row = row_again(old, now, replaces=replaces)
        except InvalidArguments as unreadable:
            error = error or str(unreadable)
            continue
        if replaces:
            replaced.append((old.pk, row))
        else:
            others.append(row)
    added = add(connection, others)
    with traces.enqueuing([row for _, row in replaced]):
        replacements = add_replacements(connection, replaced)
    return Requeued(len(replacements) + len(added), error)
