"""A task's definition: what to call, and how its calls are queued. Holds no rows."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.utils import timezone

from django_toosimple_q import conf
from django_toosimple_q.exceptions import InvalidArguments, InvalidDefinition, InvalidDue
from django_toosimple_q.limits import Rate

if TYPE_CHECKING:
    from django_toosimple_q.models import TaskExec

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_NAME = 255
ON_INTERRUPTION = ("replace", "hold")
# What timers and the arithmetic of datetimes take without fail.
LONGEST_SECONDS = 365 * 24 * 3600
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**31), 2**31 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(Generic[P, R]):
    """A callable with a name, made by `@register_task`. Raises `InvalidDefinition` when unsound.

    priority: larger numbers run first. retries: further attempts after a failure, -1 for ever.
    retry_delay, retry_delay_max, timeout: seconds. timeout_grace: seconds that a task which overran
    its timeout has to stop. max_running: how many calls may run at once, over all workers.
    rate_limit: how many calls may start in a stretch of time, such as "10/m", over all workers.
    retry_for, retry_not_for: exception types that are, or are not, retried. expires: how long a
    call may wait before it is dropped.
    """

    func: Callable[P, R]
    name: str
    queue_name: str = "default"
    priority: int = 0
    unique: bool = False
    unique_by: Callable[..., Any] | None = None
    retries: int = 0
    retry_delay: int = 0
    retry_delay_max: int | None = None
    retry_jitter: bool = False
    retry_for: tuple[type[BaseException], ...] = (BaseException,)
    retry_not_for: tuple[type[BaseException], ...] = ()
    timeout: float | None = None
    timeout_grace: float = 5
    max_running: int | None = None
    rate_limit: str | None = None
    atomic: bool = False
    on_interruption: Literal["replace", "hold"] = "replace"
    expires: datetime | timedelta | None = None
    due: datetime | None = None
    signature: inspect.Signature = field(init=False, repr=False)
    is_async: bool = field(init=False, repr=False)
    rate: Rate | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_definition(self)
        object.__setattr__(self, "signature", inspect.signature(self.func))
        object.__setattr__(self, "is_async", iscoroutinefunction(self.func))
        rate = None if self.rate_limit is None else Rate.parse(self.rate_limit)
        object.__setattr__(self, "rate", rate)

    @property
    def place(self) -> str:
        """Return where the function is defined, for error messages."""
        code = getattr(inspect.unwrap(self.func), "__code__", None)
        line = f":{code.co_firstlineno}" if code else ""
        return f"{self.func.__module__}.{self.func.__qualname__}{line}"

    @property
    def holds(self) -> bool:
        """Tell whether a call that was cut off waits for a person."""
        return self.on_interruption == "hold"

    @property
    def claimed_alone(self) -> bool:
        """Tell whether a call is claimed by itself, so that a claimed one has really begun."""
        return self.unique or self.holds

    @property
    def lane(self) -> str:
        """Return where calls wait within their queue: a limited task has a lane of its own."""
        return self.name if self.max_running is not None or self.rate_limit is not None else ""

    def using(
        self,
        *,
        priority: int | None = None,
        queue: str | None = None,
        due: datetime | None = None,
        expires: datetime | timedelta | None = None,
    ) -> "Task[P, R]":
        """Return this task with other settings for the calls queued through it."""
        given: dict[str, Any] = {
            "priority": priority,
            "queue_name": queue,
            "due": due,
            "expires": expires,
        }
        return replace(self, **{key: item for key, item in given.items() if item is not None})

    def queue(self, *args: Any, due: datetime | None = None, **kwargs: Any) -> "TaskExec":
        """Store a call of this task and return its row.

        The row is part of the caller's transaction. With `due` (aware, or naive in the current
        time zone) it sleeps until then. For a `unique` task that already waits with the same
        arguments, the waiting row is returned, made earlier when `due` is earlier.

        Raises `InvalidArguments` when the arguments do not fit the signature or cannot be
        pickled, `InvalidDue` when `due` is no datetime.
        """
        # The one upward import: tasks.py may be imported before the models are ready.
        from django_toosimple_q.store import task_execs

        return task_execs.enqueue(self, args, kwargs, due=due)

    def queue_many(self, calls: Iterable[Any], *, due: datetime | None = None) -> "list[TaskExec]":
        """Store many calls, a few hundred rows per statement, and return their rows in order.

        Each call is a tuple or list of positional arguments, a mapping of keyword arguments, or,
        for anything else, the one argument itself. Raises as `queue` does, before any row is
        stored.
        """
        from django_toosimple_q.store import task_execs

        return task_execs.enqueue_many(self, [split_call(call) for call in calls], due=due)

    async def aqueue(self, *args: Any, due: datetime | None = None, **kwargs: Any) -> "TaskExec":
        """Store a call from async code; see `queue`."""
        return await sync_to_async(self.queue)(*args, due=due, **kwargs)

    async def aqueue_many(
        self, calls: Iterable[Any], *, due: datetime | None = None
    ) -> "list[TaskExec]":
        """Store many calls from async code; see `queue_many`."""
        return await sync_to_async(self.queue_many)(calls, due=due)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Return the arguments by parameter, or raise `InvalidArguments` when they do not fit."""
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(
                f"task {self.name!r} cannot be called with these arguments: {error}. "
                f"Its signature is {self.signature}."
            ) from error

    def retries_after(self, error: BaseException) -> bool:
        """Tell whether this kind of failure is worth another attempt."""
        return isinstance(error, self.retry_for) and not isinstance(error, self.retry_not_for)


@overload
def resolve_due(due: None) -> None: ...
@overload
def resolve_due(due: datetime) -> datetime: ...
def resolve_due(due: Any) -> datetime | None:
    """Return `due` as the database stores it: a naive one is taken in the current time zone.

    Raises `InvalidDue` for anything but a datetime or None.
    """
    if due is None:
        return None
    if not isinstance(due, datetime):
        raise InvalidDue(
            f"due must be a datetime, got {due!r} ({type(due).__name__}). "
            "Use timezone.now() + timedelta(...)."
        )
    return stored_datetime(due)


def stored_datetime(value: datetime) -> datetime:
    """Return `value` aware or naive, as the project's USE_TZ has it."""
    if conf.uses_time_zones():
        return timezone.make_aware(value) if timezone.is_naive(value) else value
    return value if timezone.is_naive(value) else timezone.make_naive(value)


def split_call(call: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of one entry of `queue_many`."""
    if isinstance(call, Mapping):
        return (), dict(call)
    if isinstance(call, tuple | list):
        return tuple(call), {}
    return (call,), {}


def check_definition(task: Task[Any, Any]) -> None:
    """Refuse what can never be right, at import, with the cure."""
    if not callable(task.func):
        raise InvalidDefinition(f"a task must be callable, got {task.func!r}. Decorate a function.")
    for option in ("name", "queue_name"):
        check_name(getattr(task, option), f"the {option} of a task")
    if "," in task.queue_name:
        raise _wrong(task, "queue", "Use a name without a comma: workers are given several so.")
    for option in ("priority", "retries", "retry_delay"):
        check_integer(task, option)
    if task.retries < -1:
        raise _wrong(task, "retries", "Use 0 or more, or -1 to retry for ever.")
    if task.retry_delay < 0:
        raise _wrong(task, "retry_delay", "Use a number of seconds, 0 or more.")
    if task.retry_delay_max is not None and task.retry_delay_max < 0:
        raise _wrong(task, "retry_delay_max", "Use a number of seconds, 0 or more.")
    if task.timeout is not None and not _is_time_limit(task.timeout):
        raise _wrong(
            task,
            "timeout",
            f"Use a number of seconds above 0, {LONGEST_SECONDS} at most, or None for no limit.",
        )
    if not _is_time_limit(task.timeout_grace):
        raise _wrong(
            task,
            "timeout_grace",
            f"Use a number of seconds above 0, {LONGEST_SECONDS} at most.",
        )
    if task.max_running is not None:
        check_integer(task, "max_running")
        if task.max_running < 1:
            raise _wrong(task, "max_running", "Use 1 or more, or None for no limit.")
    if task.rate_limit is not None:
        try:
            Rate.parse(task.rate_limit)
        except ValueError as error:
            raise _wrong(task, "rate_limit", str(error)) from error
    if task.on_interruption not in ON_INTERRUPTION:
        raise _wrong(task, "on_interruption", 'Use "replace" or "hold".')
    for option in ("retry_for", "retry_not_for"):
        if not all(isinstance(kind, type) for kind in getattr(task, option)):
            raise _wrong(task, option, "Use exception classes.")
    if not isinstance(task.expires, datetime | timedelta | None):
        raise _wrong(task, "expires", "Use a timedelta, or a datetime.")


def check_name(name: Any, what: str) -> None:
    """Refuse a name that the database cannot hold."""
    if not isinstance(name, str) or not name:
        raise InvalidDefinition(f"{what} must be a text, got {name!r}. Give it a name.")
    if len(name) > LONGEST_NAME:
        raise InvalidDefinition(
            f"{what} has {len(name)} characters: {name[:60]!r}…. Use {LONGEST_NAME} at most."
        )
    if "\x00" in name:
        raise InvalidDefinition(f"{what} holds a NUL character: {name!r}. Remove it.")


def check_integer(task: Task[Any, Any], option: str) -> None:
    """Refuse what is no whole number that fits a database integer."""
    value = getattr(task, option)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(task, option, "Use a whole number.")
    if not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        raise _wrong(task, option, f"Use a number up to {LARGEST_INTEGER}.")


def _is_time_limit(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= LONGEST_SECONDS


def _wrong(task: Task[Any, Any], option: str, cure: str) -> InvalidDefinition:
    return InvalidDefinition(
        f"task {task.name!r}: {option} cannot be {getattr(task, option)!r}. {cure}"
    )
