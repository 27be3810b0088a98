"""What became of the last calls of a schedule, whose ids its row keeps, and whose call one is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.store.lookup import row_id
from django_toosimple_q.store.transaction import in_autocommit, in_bounded_transaction

# How many of its last calls the row of a schedule keeps, and the length of so many ids.
RECENT = 10
RECENT_LENGTH = 20 * RECENT
FIELDS = (
    *("task_name", "state", "attempt", "retries", "root", "replaced_by"),
    *("due", "started", "finished"),
)


def recent_ids(before: str, queued: Sequence[TaskExec]) -> str:
    """Return the ids of a schedule's last calls as its row keeps them, the newest first."""
    newest = [str(row.pk) for row in reversed(queued[-RECENT:])]
    return " ".join([*newest, *before.split()][:RECENT])


@in_autocommit
def queued_by(connection: Any, pk: int, names: Sequence[str]) -> str | None:
    """Return which of these schedules has the call with this first row among its last ones."""
    rows = ScheduleExec.objects.using(connection.alias).filter(name__in=names)
    for name, recent in rows.values_list("name", "recent"):
        if str(pk) in recent.split():
            return str(name)
    return None


class Run(NamedTuple):
    """A call that a schedule queued, and its last attempt, which may be the same row."""

    first: TaskExec
    last: TaskExec


@in_bounded_transaction
def last_runs(connection: Any, row: ScheduleExec) -> list[Run]:
    """Return the last calls of a schedule, `RECENT` at most, the newest first.

    Both reads begin with ids, so they take as long however many calls there are.
    """
    ids = list(filter(None, map(row_id, row.recent.split()[:RECENT])))
    calls = TaskExec.objects.using(connection.alias).only(*FIELDS)
    first = {one.pk: one for one in calls.filter(pk__in=ids)}
    replaced = [one.root_id or pk for pk, one in first.items() if one.replaced_by_id]
    attempts = calls.filter(root__in=replaced, replaced_by=None) if replaced else ()
    last = {one.root_id: one for one in attempts}
    return [
        Run(first[pk], last.get(first[pk].root_id or pk, first[pk]))
        for pk in dict.fromkeys(ids)
        if pk in first
    ]
