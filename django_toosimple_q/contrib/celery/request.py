"""`self.request`: what a running task can read about its call."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from socket import gethostname
from typing import Any

from django_toosimple_q.contrib.celery.exceptions import Retry
from django_toosimple_q.execution import Claimed
from django_toosimple_q.moments import project_datetime
from django_toosimple_q.public_ids import make_id


@dataclass(kw_only=True)
class Request:
    """One call of a task. If the task is called directly, as a function, it has no id.

    `row` is the claimed row, and `asked` is the exception that `retry(throw=False)` returned.
    """

    task: str
    row: Claimed | None = None
    eager_id: str | None = None
    args: Sequence[Any] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    retries: int = 0
    is_eager: bool = False
    called_directly: bool = True
    eta: datetime | None = None
    expires: datetime | None = None
    delivery_info: Mapping[str, Any] = field(default_factory=dict)
    asked: Retry | None = None
    # Only brokers, workflows and Celery's own workers set these.
    headers: None = None
    timelimit: tuple[float | None, float | None] = (None, None)
    reply_to: None = None
    origin: None = None
    group: None = None
    chord: None = None
    chain: None = None
    callbacks: None = None
    errbacks: None = None
    utc: bool = True

    @cached_property
    def id(self) -> str | None:
        """Return the id that the caller got. It is computed when a task asks for it."""
        if self.eager_id or self.row is None:
            return self.eager_id
        row = self.row
        return make_id(row.root_id or row.pk, row.task_name, row.args, row.kwargs)

    @property
    def hostname(self) -> str:
        """Return the name of the host that runs the call."""
        return gethostname()

    @property
    def left(self) -> int:
        """Return how many retries the row has left; -1 means for ever."""
        return 0 if self.row is None else self.row.retries

    @property
    def root_id(self) -> str | None:
        return self.id

    @property
    def parent_id(self) -> None:
        return None

    @property
    def correlation_id(self) -> str | None:
        return self.id


class CurrentTask:
    """A proxy for the task that runs in this context. It is false if none does."""

    def __bool__(self) -> bool:
        return _current.get() is not None

    def __getattr__(self, name: str) -> Any:
        current = _current.get()
        if current is None:
            raise AttributeError(
                f"no task runs in this context, so current_task has no {name!r}. "
                "Read it inside a task."
            )
        return getattr(current[0], name)


current_task = CurrentTask()

# The task that runs in this context, and its call.
_current: ContextVar[tuple[Any, Request] | None] = ContextVar("toosimpleq_celery", default=None)


@contextmanager
def entered(task: Any, request: Request) -> Iterator[None]:
    """Make `request` the `task.request` in a `with` block."""
    token = _current.set((task, request))
    try:
        yield
    finally:
        _current.reset(token)


def request_of(task: Any) -> Request:
    """Return the request of a task that runs in this context, or that of a direct call."""
    current = _current.get()
    return current[1] if current and current[0] is task else Request(task=task.name)


def from_row(
    claimed: Claimed, total: int, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Request:
    """Return the request of a claimed row. `total` is the number of retries of its task."""
    return Request(
        task=claimed.task_name,
        row=claimed,
        args=args,
        kwargs=kwargs,
        retries=retries_used(claimed, total),
        called_directly=False,
        # A row is due when it was created, unless the caller gave another time.
        eta=None if claimed.due == claimed.created else project_datetime(claimed.due),
        expires=claimed.expires and project_datetime(claimed.expires),
        delivery_info={"routing_key": claimed.queue, "priority": claimed.priority},
    )


def retries_used(claimed: Claimed, total: int) -> int:
    """Return how many retries a row's call has used up.

    The retries that the row has left give the number. They do not for a task that is retried for
    ever, or more often than its definition says. There, all attempts count except those that
    followed the death of a worker.
    """
    attempts_before = max(0, claimed.attempt - 1 - claimed.crash_count)
    if total >= 0 and claimed.retries > 0:
        return min(attempts_before, max(0, total - claimed.retries))
    return attempts_before
