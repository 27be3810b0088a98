"""The two values of an execution: the row in hand, and what came of it."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_toosimple_q import payload
from django_toosimple_q.retry import NextAttempt


@dataclass(slots=True)
class Claimed:
    """A claimed row: what running it and following it up take, no more. Payloads are sealed.

    A task may read `pk`, `attempt` (1, 2, …), `retries` (left after this attempt, -1: for ever)
    and `interrupted`, which turns true when it should come to an end.
    """

    pk: int
    task_name: str
    args: str
    kwargs: str
    queue: str
    priority: int
    retries: int
    retry_delay: int
    due: datetime
    expires: datetime | None
    attempt: int
    root_id: int | None
    deaths: int
    unique_hash: str
    alone: bool
    timeout: float | None
    lane: str = ""
    created: datetime | None = None
    hold: bool = False
    # Set from outside while it runs: the worker is to stop, or somebody has cancelled it.
    interrupted: bool = False

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Return fresh arguments. Raises `UnreadablePayload`."""
        return (
            payload.unseal(self.args, "args", self.task_name),
            payload.unseal(self.kwargs, "kwargs", self.task_name),
        )


@dataclass(slots=True)
class Outcome:
    """What came of a run. Only the store writes it."""

    state: str
    started: datetime | None = None
    finished: datetime | None = None
    result: str | None = None
    result_preview: str | None = None
    error: str | None = None
    stdout: str = ""
    stderr: str = ""
    # The attempt that follows a failure, or None when there is none.
    next_attempt: NextAttempt | None = None
    # The call was cut off: it runs again at once, at no retry's cost.
    replaced: bool = False
    # Seconds before it does.
    pause_seconds: float = 0
    # It ran over its timeout, which may have hit the driver of its database in mid-sentence.
    timed_out: bool = False


# The row whose task runs in this context, for those who tell the task about itself.
running: ContextVar[Claimed | None] = ContextVar("toosimpleq_running", default=None)


def current_task_exec() -> Claimed | None:
    """Return the row whose task runs here, or None outside of a worker.

    A long loop looks at it between two steps:

        if current_task_exec().interrupted:
            raise Retry("the worker stops", delay=0, count=False)
    """
    return running.get()
