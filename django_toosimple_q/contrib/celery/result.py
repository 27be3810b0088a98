"""`AsyncResult`, a call by its id, and `EagerResult`, a call that has already run."""

import time
from datetime import datetime
from typing import Any
from uuid import UUID

from django_toosimple_q import exceptions as core
from django_toosimple_q.contrib.celery import states
from django_toosimple_q.contrib.celery.exceptions import (
    ResultGone,
    TaskRevokedError,
    TimeoutError,  # noqa: A004  (Celery's name)
    absent,
)
from django_toosimple_q.contrib.celery.ids import parse_id
from django_toosimple_q.contrib.celery.options import warn_ignored


class Result:
    """What both kinds of result share. All of it follows from state, value and traceback."""

    id: str

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def state(self) -> str:
        """Return PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED."""
        raise NotImplementedError  # pragma: no cover

    @property
    def result(self) -> Any:
        """Return the value, or the exception that ended the last attempt, or None."""
        raise NotImplementedError  # pragma: no cover

    @property
    def status(self) -> str:
        return self.state

    @property
    def info(self) -> Any:
        return self.result

    def ready(self) -> bool:
        """Return whether the call has ended, with or without success."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Return whether the call has succeeded."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Return whether the call has failed, and will not be retried."""
        return self.state == states.FAILURE

    def forget(self) -> None:
        """Do nothing, since TOOSIMPLEQ_RETENTION sets how long results are kept."""


class AsyncResult(Result):
    """A call by its id, as returned by `delay`. Each access reads its rows again.

        AsyncResult(order.task_id).revoke()

    An id without a row is PENDING, as with Celery: the call may not be committed yet, or its row
    may have been deleted. Raises `InvalidId` if the id is not a UUID.
    """

    def __init__(self, id: str | UUID, *args: Any, **kwargs: Any) -> None:  # noqa: A002
        self._uuid = parse_id(id)
        self.id = str(self._uuid)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncResult, (self.id,)

    @property
    def state(self) -> str:
        return self._standing().state

    @property
    def result(self) -> Any:
        return self._standing().result()

    @property
    def traceback(self) -> str | None:
        """Return the traceback of the last attempt, or None if it did not fail."""
        return self._standing().traceback

    @property
    def name(self) -> str | None:
        return self._field("task_name")

    @property
    def args(self) -> Any:
        return self._field("args")

    @property
    def kwargs(self) -> Any:
        return self._field("kwargs")

    @property
    def queue(self) -> str | None:
        return self._field("queue")

    @property
    def date_done(self) -> datetime | None:
        return self._field("finished")

    def revoke(self, connection: Any = None, terminate: bool = False, **options: Any) -> Any:
        """Take back a call that waits, also for a retry. A running call continues.

        Return a `django_toosimple_q.Cancellation`, where Celery returns None: CANCELLED if the call
        never begins, ASKED if a worker has claimed it, TOO_LATE if it has ended. A running task can
        check `django_toosimple_q.current_task().interrupted`. `terminate` does not interrupt it,
        and warns.
        """
        given = {"connection": connection, "terminate": terminate, **options}
        for option, value in given.items():
            if value:
                warn_ignored(option, "revoke")
        from django_toosimple_q.contrib.celery import rows

        return rows.revoke(self._uuid)

    def get(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.1, **_: Any
    ) -> Any:
        """Wait until the call has ended, and return its value or raise its exception.

        Avoid calling it inside a task, where it occupies a slot that the other call may need, and
        in the transaction that queued the call, since no worker sees the call before the commit.
        Raises `TimeoutError` after `timeout` seconds, `TaskRevokedError` if the call was revoked,
        and `ResultGone` if its row is deleted meanwhile.
        """
        began = time.monotonic()
        while (standing := self._standing()).state not in states.READY_STATES:
            left = None if timeout is None else timeout - (time.monotonic() - began)
            if left is not None and left <= 0:
                raise TimeoutError(
                    f"call {self.id} is {standing.state} after {timeout:g} s. "
                    "Check that a worker runs its queue."
                )
            if standing.attempts:
                self._wait_for(standing.attempts[-1], left)
            else:  # perhaps not committed yet
                time.sleep(interval if left is None else min(interval, left))
        value = standing.result()
        if propagate and standing.state != states.SUCCESS:
            raise value
        return value

    wait = get

    def _wait_for(self, row: Any, timeout: float | None) -> None:
        try:
            row.wait_done(timeout)
        except core.ResultGone as error:
            raise ResultGone(
                f"call {self.id} has ended, and its row has been deleted. "
                "Set TOOSIMPLEQ_RETENTION to keep rows until their results are read."
            ) from error

    def _standing(self) -> Any:
        # Results may be made before the models are ready. Their rows are read later.
        from django_toosimple_q.contrib.celery import rows

        return rows.standing_of(self._uuid)

    def _field(self, name: str) -> Any:
        attempts = self._standing().attempts
        return getattr(attempts[-1], name) if attempts else None


class EagerResult(Result):
    """The result of a call that ran in the calling process."""

    def __init__(
        self,
        id: str,  # noqa: A002
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.traceback = traceback
        self._value = ret_value
        self._state = state

    @property
    def state(self) -> str:
        return self._state

    @property
    def result(self) -> Any:
        return self._value

    def ready(self) -> bool:
        """Return True, since the call has ended."""
        return True

    def revoke(self, *args: Any, **options: Any) -> None:
        """Set the state to REVOKED, although the call has run."""
        self._state = states.REVOKED

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Return the value, or raise the exception of the call."""
        if self._state == states.REVOKED:
            self._value = TaskRevokedError(f"call {self.id} was revoked")
        if propagate and self._state in states.PROPAGATE_STATES:
            raise self._value
        return self._value

    wait = get


__getattr__ = absent(
    "celery.result",
    {
        "GroupResult": "There are no groups. Keep the result of each delay() in a list.",
        "ResultSet": "Keep the result of each delay() in a list.",
        "ResultBase": "Use AsyncResult.",
        "allow_join_result": "get() is allowed in tasks, with a warning.",
        "result_from_tuple": "Keep the .id, and use AsyncResult(id).",
    },
)
