"""The values of an execution: the row in hand, what came of it, how it was taken back, its view."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, overload

from django_toosimple_q import payload, references
from django_toosimple_q.progress import Progress
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.text import Tail

# The versions that a row keeps; the oldest are forgotten first.
LONGEST_REFUSED_BY = 255
T = TypeVar("T")


@dataclass(slots=True)
class Claimed:
    """A claimed row: what running it and following it up take, no more. Payloads are sealed.

    A task may read `pk`, `attempt` (1, 2, …), `retries` (left after this attempt, -1: for ever)
    and `interrupted`, which turns true when it should come to an end.
    """

    pk: int
    task_name: str
    # Who can read an envelope can read what is in it.
    args: str = field(repr=False)
    kwargs: str = field(repr=False)
    queue: str
    priority: int
    retries: int
    retry_delay: int
    due: datetime
    expires: datetime | None
    attempt: int
    root_id: int | None
    crash_count: int
    unique_hash: str
    exclusive: bool
    timeout: float | None
    concurrency_key: str = ""
    created: datetime | None = None
    hold: bool = False
    # The code that queued it, and the versions that could not begin it; see `refused_also_by`.
    code_version: str = ""
    refused_by: str = ""
    arguments_preview: str = ""
    # Of the code that queued it, if calls are traced; and the span of this attempt.
    trace_context: str | None = None
    span: Any = field(default=None, repr=False, compare=False)
    # Set from outside while it runs: the worker is to stop, or the call was cancelled.
    interrupted: bool = False
    cancelled: bool = False
    # Another logger has an error with the exception: that of Django's tasks framework.
    logged_elsewhere: bool = False
    # When this worker claimed it, by the monotonic clock.
    claimed_at: float = 0.0
    # What its task has reported last; the worker stores it, at most once a second.
    reported: Progress | None = None
    # What its task prints while it runs, as the worker captures it.
    output: Any = field(default=None, repr=False)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the task is: `done` of `total`, and what it does now.

            current_task().progress(3, 12, "sending to Ann")

        It may be called as often as you like, from any thread: it only notes the values. The
        worker stores the latest once a second while the task runs, and the last when it ends.
        `total` is None if nobody knows it. Raises `InvalidProgress` for an amount that is no
        number of 0 or more. A message is cut to 255 characters.
        """
        self.reported = Progress.read(done, total, message)

    @property
    def tail(self) -> Tail | None:
        """Return the end of what its task has printed so far, or None if that is nothing."""
        output = self.output
        return None if output is None else output.tail

    def refused_also_by(self, version: str) -> str:
        """Return what `refused_by` becomes when code of this version cannot begin the call."""
        if f",{version}," in self.refused_by:
            return self.refused_by
        return f"{self.refused_by or ','}{version},"[-LONGEST_REFUSED_BY:]

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Return fresh arguments, rows of models as they are now.

        Raises `UnreadablePayload`, `RowGone`, and what the database of such a row raises.
        """
        token = references.loading.set(True)
        try:
            return (
                payload.unseal(self.args, "args", self.task_name),
                payload.unseal(self.kwargs, "kwargs", self.task_name),
            )
        finally:
            references.loading.reset(token)


@dataclass(slots=True)
class Outcome:
    """What came of a run. Only the store writes it."""

    state: str
    started: datetime | None = None
    finished: datetime | None = None
    result: str | None = None
    result_preview: str | None = None
    error: str | None = None
    # Of an exception: its class as a dotted name, and its text.
    error_type: str = ""
    error_message: str = ""
    stdout: str = ""
    stderr: str = ""
    # What it has logged, as JSON, or None for nothing.
    log_records: str | None = None
    # The attempt that follows a failure, or None when there is none.
    next_attempt: NextAttempt | None = None
    # The call was cut off: it runs again at once, at no retry's cost.
    replaced: bool = False
    # Seconds before it does.
    pause_seconds: float = 0
    # It ran over its timeout, which may have hit the driver of its database in mid-sentence.
    timed_out: bool = False
    # The code of this worker cannot call the task: other code may. The row then says `refused_by`.
    not_begun: bool = False
    refused_by: str = ""
    # What the task raised, for the receivers of `task_finished`. Its traceback keeps all that the
    # task had in hand, so it is dropped right after, and never stored.
    exception: BaseException | None = None


class Cancellation(Enum):
    """What `cancel()` has achieved. True unless it came too late."""

    # It waited, and never begins.
    CANCELLED = "cancelled"
    # A worker has claimed it. It may run, and is told to come to an end; one that has not begun is
    # let go.
    ASKED = "asked"
    # It has ended.
    TOO_LATE = "too late"

    def __bool__(self) -> bool:
        return self is not Cancellation.TOO_LATE


# The row whose task runs in this context, for those who tell the task about itself.
running: ContextVar[Claimed | None] = ContextVar("toosimpleq_running", default=None)


def current_task() -> Claimed | None:
    """Return the row whose task runs here, or None outside of a worker.

    A long loop looks at it between two steps:

        if current_task().interrupted:
            raise Retry("the worker stops", delay=0, count=False)
    """
    return running.get()


@overload
def track(iterable: Iterable[T], total: float | None = None, message: str = "") -> Iterator[T]: ...
@overload
def track(
    iterable: AsyncIterable[T], total: float | None = None, message: str = ""
) -> AsyncIterator[T]: ...
def track(iterable: Any, total: float | None = None, message: str = "") -> Any:
    """Yield what an iterable yields, and report after each item how many are done.

        for order in track(orders):
            ...

    `total` is by default the length of the iterable, if it has one. An asynchronous iterable is for
    `async for`. Outside of a worker it only yields. See `Claimed.progress`.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if isinstance(iterable, AsyncIterable):
        return _track_async(iterable, total, message)
    return _track(iterable, total, message)


def _track(iterable: Iterable[T], total: float | None, message: str) -> Iterator[T]:
    report = _reporter(total, message)
    report(0)
    for done, item in enumerate(iterable, 1):
        yield item
        report(done)


async def _track_async(
    iterable: AsyncIterable[T], total: float | None, message: str
) -> AsyncIterator[T]:
    report = _reporter(total, message)
    report(0)
    done = 0
    async for item in iterable:
        yield item
        done += 1
        report(done)


def _reporter(total: float | None, message: str) -> Callable[[int], None]:
    task = current_task()

    def report(done: int) -> None:
        if task is not None:
            task.progress(done, total, message)

    return report
