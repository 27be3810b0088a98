"""The rows of a call, in Celery's terms. Needs the models, so it is imported inside functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django_toosimple_q.contrib.celery import states
from django_toosimple_q.contrib.celery.exceptions import TaskRevokedError
from django_toosimple_q.contrib.celery.failures import exception_of
from django_toosimple_q.execution import Cancellation
from django_toosimple_q.models import TaskExec
from django_toosimple_q.public_ids import candidates, fits, make_id
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.lookup import attempts
from django_toosimple_q.task import Task

States = TaskExec.States


@dataclass(frozen=True)
class Standing:
    """The state of a call, and its rows from the first attempt to the last."""

    state: str = states.PENDING
    attempts: Sequence[TaskExec] = field(default_factory=list)

    @property
    def traceback(self) -> str | None:
        """Return the error of the last attempt that ended."""
        return self.failed.error if self.failed else None

    @property
    def failed(self) -> TaskExec | None:
        """Return the last attempt that ended with an error."""
        if self.state == states.RETRY:
            return self.attempts[-2]
        return self.attempts[-1] if self.state in states.EXCEPTION_STATES else None

    def result(self) -> Any:
        """Return the value, or the exception that ended the call."""
        if self.state == states.SUCCESS:
            return self.attempts[-1].result
        if self.state == states.REVOKED:
            return TaskRevokedError(self.traceback or "revoked")
        return exception_of(self.failed) if self.failed and self.failed.error else None


def enqueue(
    task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], due: datetime | None
) -> str:
    """Store a call and return its id."""
    row = task_execs.enqueue(task, args, kwargs, due=due)
    return make_id(row.pk, row.task_name, *_sealed(row))


def standing_of(task_id: UUID) -> Standing:
    """Return the state and the rows of the call with this id."""
    found = find(task_id)
    return Standing(state_of(found), found) if found else Standing()


def revoke(task_id: UUID) -> Cancellation:
    """Take back a call, whichever attempt of it waits; return what that achieved."""
    seen = None
    while True:
        found = find(task_id)
        # If the attempt ended before it was cancelled, another one may follow.
        if not found or found[-1].pk == seen:
            return Cancellation.TOO_LATE
        if done := found[-1].cancel("revoked"):
            return done
        seen = found[-1].pk


def find(task_id: UUID) -> list[TaskExec]:
    """Return the rows of a call, oldest first, or none if the id matches no row."""
    for number in candidates(task_id):
        rows = attempts(str(number))
        if rows and fits(task_id, number, rows[-1].task_name, *_sealed(rows[-1])):
            return rows
    return []


def state_of(rows: Sequence[TaskExec]) -> str:
    """Return Celery's name for the state of a call."""
    row = rows[-1]
    if row.state in (States.SLEEPING, States.QUEUED):
        retried = len(rows) > 1 and rows[-2].state == States.FAILED
        return states.RETRY if retried else states.PENDING
    if row.state == States.INTERRUPTED:
        # A call that never started was cancelled or has expired. One that started is held.
        return states.REVOKED if row.started is None else states.FAILURE
    if row.state == States.INVALID:
        # One that is not finished waits for a worker that knows its task.
        return states.PENDING if row.finished is None else states.FAILURE
    words = {
        States.PROCESSING: states.STARTED,
        States.SUCCEEDED: states.SUCCESS,
        States.FAILED: states.FAILURE,
    }
    return words[States(row.state)]


def _sealed(row: TaskExec) -> tuple[str, str]:
    """Return the stored text of the arguments, which is the same in every attempt of a call."""
    return row.__dict__["args"].text, row.__dict__["kwargs"].text
