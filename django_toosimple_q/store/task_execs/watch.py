"""Look after one call from outside: how it stands, and that its worker tells when it has ended."""

from typing import Any

from django_toosimple_q.models import TaskExec
from django_toosimple_q.store.step import statement

States = TaskExec.States


@statement
def await_end(connection: Any, pk: int) -> None:
    """Have whoever ends the row tell of it. A row that has ended is left alone."""
    rows = TaskExec.objects.using(connection.alias)
    rows.filter(pk=pk, state__in=States.todo(), awaited=False).update(awaited=True)


@statement
def look_at(connection: Any, pk: int) -> TaskExec | None:
    """Return a row as it stands, or None when there is none."""
    return TaskExec.objects.using(connection.alias).filter(pk=pk).first()


def has_ended(row: TaskExec) -> bool:
    """Tell whether nothing happens to a row any more, unless a person sees to it."""
    # One of an unknown name waits for a worker that knows it.
    unknown = row.state == States.INVALID and row.finished is None
    return row.state in States.done() and not unknown
