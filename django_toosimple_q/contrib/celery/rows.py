"""The rows of a call, in Celery's words. Needs the models, so it is imported where it is used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django_toosimple_q.contrib.celery import states
from django_toosimple_q.contrib.celery.exceptions import TaskRevokedError
from django_toosimple_q.contrib.celery.failures import exception_of
from django_toosimple_q.contrib.celery.ids import candidates, fits, make_id
from django_toosimple_q.contrib.tasks.attempts import attempts
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from django_toosimple_q.task import Task

States = TaskExec.States


@dataclass(frozen=True)
class Standing:
    """How a call stands: its state, and its rows from the first attempt to the last."""

    state: str = states.PENDING
    attempts: Sequence[TaskExec] = field(default_factory=list)

    @property
    def traceback(self) -> str | None:
        """Return the error of the last attempt that ended."""
        if self.state == states.RETRY:
            return self.attempts[-2].error
        return self.attempts[-1].error if self.state in states.EXCEPTION_STATES else None

    def result(self) -> Any:
        """Return the value, or the exception that stands for it."""
        if self.state == states.SUCCESS:
            return self.attempts[-1].result
        if self.state == states.REVOKED:
            return TaskRevokedError(self.traceback or "revoked")
        return exception_of(self.traceback) if self.traceback else None


def enqueue(
    task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], due: datetime | None
) -> str:
    """Store a call and return its id."""
    row = task_execs.enqueue(task, args, kwargs, due=due)
    return make_id(row.pk, row.task_name, *_sealed(row))


def look(task_id: UUID) -> Standing:
    """Return how the call of an id stands."""
    found = find(task_id)
    return Standing(state_of(found), found) if found else Standing()


def revoke(task_id: UUID) -> None:
    """Take a call back, whichever attempt of it waits."""
    seen = None
    while True:
        found = find(task_id)
        # An attempt that ended between the look and the cancelling may be followed by another.
        if not found or found[-1].pk == seen or found[-1].cancel("revoked"):
            return
        seen = found[-1].pk


def find(task_id: UUID) -> list[TaskExec]:
    """Return the rows of a call, oldest first; none for an id that fits no row."""
    for number in candidates(task_id):
        rows = attempts(str(number))
        if rows and fits(task_id, number, rows[-1].task_name, *_sealed(rows[-1])):
            return rows
    return []


def state_of(rows: Sequence[TaskExec]) -> str:
    """Return Celery's word for how a call stands."""
    row = rows[-1]
    if row.state in (States.SLEEPING, States.QUEUED):
        retried = len(rows) > 1 and rows[-2].state == States.FAILED
        return states.RETRY if retried else states.PENDING
    if row.state == States.INTERRUPTED:
        # One that never started was taken back or has expired; one that did is held.
        return states.REVOKED if row.started is None else states.FAILURE
    if row.state == States.INVALID:
        # Without an error it waits for a worker that knows its task.
        return states.PENDING if row.error is None else states.FAILURE
    words = {
        States.PROCESSING: states.STARTED,
        States.SUCCEEDED: states.SUCCESS,
        States.FAILED: states.FAILURE,
    }
    return words[States(row.state)]


def _sealed(row: TaskExec) -> tuple[str, str]:
    """Return the stored bytes of the arguments: the same in every attempt of a call."""
    return row.__dict__["args"].text, row.__dict__["kwargs"].text
