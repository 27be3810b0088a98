"""The definition of a task: what to call, and how its calls are queued."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from asgiref.sync import iscoroutinefunction, sync_to_async

from django_toosimple_q import masking
from django_toosimple_q.exceptions import InvalidArguments, InvalidDefinition, shown
from django_toosimple_q.moments import check_moment
from django_toosimple_q.rate import Rate
from django_toosimple_q.task_options import DEFAULTS, TASK_OPTIONS, Option

if TYPE_CHECKING:
    from django_toosimple_q.models import TaskExec

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(Generic[P, R]):
    """A callable with a name, made by `@register_task`.

    `TaskOptions` documents the options. `due` is when the calls that this copy queues start.
    Raises `InvalidDefinition` for an invalid option, and `InvalidDue` for an invalid `due`.
    """

    func: Callable[P, R]
    name: str
    queue_name: str = DEFAULTS["queue"]
    priority: int = DEFAULTS["priority"]
    unique: bool = DEFAULTS["unique"]
    unique_by: Callable[..., Any] | None = DEFAULTS["unique_by"]
    retries: int = DEFAULTS["retries"]
    retry_delay: int = DEFAULTS["retry_delay"]
    retry_delay_max: int | None = DEFAULTS["retry_delay_max"]
    retry_jitter: bool = DEFAULTS["retry_jitter"]
    retry_for: tuple[type[BaseException], ...] = DEFAULTS["retry_for"]
    retry_not_for: tuple[type[BaseException], ...] = DEFAULTS["retry_not_for"]
    timeout: float | None = DEFAULTS["timeout"]
    timeout_grace: float = DEFAULTS["timeout_grace"]
    max_running: int | None = DEFAULTS["max_running"]
    rate_limit: str | None = DEFAULTS["rate_limit"]
    atomic: bool = DEFAULTS["atomic"]
    on_missing_row: Literal["cancel", "fail"] = DEFAULTS["on_missing_row"]
    on_interruption: Literal["replace", "hold"] = DEFAULTS["on_interruption"]
    expires: datetime | timedelta | None = DEFAULTS["expires"]
    sensitive: bool | tuple[str, ...] = DEFAULTS["sensitive"]
    due: datetime | None = None
    signature: inspect.Signature = field(init=False, repr=False)
    is_async: bool = field(init=False, repr=False)
    rate: Rate | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.func):
            raise InvalidDefinition(
                f"a task must be callable, got {self.func!r}. Decorate a function."
            )
        for option in TASK_OPTIONS.values():
            given = getattr(self, option.field)
            if given is not option.default:
                self._set(option, given)
        if self.due is not None:
            check_moment(self.due, "due")
        object.__setattr__(self, "signature", self._signature())
        object.__setattr__(self, "is_async", iscoroutinefunction(self.func))
        if self.sensitive:
            masking.check_names(self)
            object.__setattr__(self, "func", masking.masking_in_reports(self))
            self._hide_variables()
        rate = None if self.rate_limit is None else Rate.parse(self.rate_limit)
        object.__setattr__(self, "rate", rate)

    @property
    def location(self) -> str:
        """Return where the function is defined, for error messages."""
        code = getattr(inspect.unwrap(self.func), "__code__", None)
        line = f":{code.co_firstlineno}" if code else ""
        return f"{self.func.__module__}.{self.func.__qualname__}{line}"

    @property
    def holds(self) -> bool:
        """Return whether an interrupted call is held for a person to decide."""
        return self.on_interruption == "hold"

    @property
    def exclusive(self) -> bool:
        """Return whether a call is claimed by itself, so that a claimed call has always started."""
        return self.unique or self.holds

    @property
    def concurrency_key(self) -> str:
        """Return the key by which limits count this task's calls, or "" without limits."""
        return self.name if self.max_running is not None or self.rate_limit is not None else ""

    def using(
        self,
        *,
        priority: int | None = None,
        queue: str | None = None,
        due: datetime | None = None,
        expires: datetime | timedelta | None = None,
    ) -> "Task[P, R]":
        """Return a copy of this task that queues calls with other settings.

        priority: larger numbers run first. queue: the queue of the calls. due: when they start.
        expires: how long they may wait, or until when. None keeps a setting. Raises
        `InvalidDefinition` or `InvalidDue` for an invalid value.
        """
        # A plain copy, since the other settings need no second check.
        task = copy(self)
        for name, given in (("priority", priority), ("queue", queue), ("expires", expires)):
            if given is not None:
                task._set(TASK_OPTIONS[name], given)
        if due is not None:
            check_moment(due, "due")
            object.__setattr__(task, "due", due)
        if task.sensitive:
            task._hide_variables()
        return task

    @overload
    def queue(self, *args: P.args, **kwargs: P.kwargs) -> "TaskExec": ...
    @overload
    def queue(self, *args: Any, due: datetime | None, **kwargs: Any) -> "TaskExec": ...
    def queue(self, *args: Any, due: Any = None, **kwargs: Any) -> "TaskExec":
        """Store a call of this task and return its row.

        The row is part of the caller's transaction. With `due` (aware, or naive in the current
        time zone) it sleeps until then. If a `unique` task already waits with the same arguments,
        the waiting row is returned, and moved forward if the new `due` is earlier.

        Type checkers compare the arguments with the function's parameters, except in a call with
        `due`. `task.using(due=…).queue(…)` is always compared.

        Raises `InvalidArguments` if the arguments do not fit the signature or cannot be pickled,
        and `InvalidDue` if `due` is not a datetime that can be stored.
        """
        # The only upward import: tasks.py may be imported before the models are ready.
        from django_toosimple_q.store import task_execs

        return task_execs.enqueue(self, args, kwargs, due=due)

    def queue_many(self, calls: Iterable[Any], *, due: datetime | None = None) -> "list[TaskExec]":
        """Store many calls, a few hundred rows per statement, and return their rows in order.

        Each call is a tuple or list of positional arguments, or a mapping of keyword arguments.
        Anything else is the only argument. Raises the exceptions of `queue` before any row is
        stored.
        """
        from django_toosimple_q.store import task_execs

        calls = self._split(calls)
        return task_execs.enqueue_many(self, calls, due=due)

    @overload
    async def aqueue(self, *args: P.args, **kwargs: P.kwargs) -> "TaskExec": ...
    @overload
    async def aqueue(self, *args: Any, due: datetime | None, **kwargs: Any) -> "TaskExec": ...
    async def aqueue(self, *args: Any, due: Any = None, **kwargs: Any) -> "TaskExec":
        """Store a call from async code. See `queue`."""

        def queue() -> "TaskExec":
            return self.queue(*args, due=due, **kwargs)

        return await sync_to_async(self._hidden(queue))()

    async def aqueue_many(
        self, calls: Iterable[Any], *, due: datetime | None = None
    ) -> "list[TaskExec]":
        """Store many calls from async code. See `queue_many`."""

        def queue_many() -> "list[TaskExec]":
            return self.queue_many(calls, due=due)

        return await sync_to_async(self._hidden(queue_many))()

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Return the arguments by parameter. Raises `InvalidArguments` if they do not fit."""
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(
                f"task {self.name!r} cannot be called with these arguments: {error}. "
                f"Its signature is {masking.signature_of(self)}."
            ) from error

    def retries_after(self, error: BaseException) -> bool:
        """Return whether a failure with this exception is retried."""
        return isinstance(error, self.retry_for) and not isinstance(error, self.retry_not_for)

    def _set(self, option: Option, given: Any) -> None:
        """Set an option to the value that was given. Raises `InvalidDefinition`."""
        read = option.read(given, f"task {self.name!r}: {option.name}")
        object.__setattr__(self, option.field, read)

    def _hide_variables(self) -> None:
        """Keep the arguments of calls out of error reports on what queues them."""
        # Again in a copy: what it has taken over are methods of the original.
        for name in ("queue", "queue_many"):
            method = getattr(type(self), name)
            object.__setattr__(self, name, masking.hiding_variables(method.__get__(self)))
            # Of coroutine functions Django keeps a list.
            masking.hiding_variables(getattr(type(self), f"a{name}"))

    def _hidden(self, function: F) -> F:
        return masking.hiding_variables(function) if self.sensitive else function

    def _split(self, calls: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Return the arguments of each call of `queue_many`. Raises `InvalidArguments`."""
        if isinstance(calls, Mapping | str | bytes | bytearray) or not isinstance(calls, Iterable):
            raise InvalidArguments(
                f"queue_many of task {self.name!r} cannot take "
                f"{shown(masking.MASK if self.sensitive else calls)}. It takes one entry "
                "for each call. Put the calls into a list, such as [(1,), (2,)]."
            )
        return [split_call(call) for call in calls]

    def _signature(self) -> inspect.Signature:
        try:
            return inspect.signature(self.func)
        except (TypeError, ValueError) as error:
            raise InvalidDefinition(
                f"task {self.name!r}: the parameters of {self.func!r} cannot be read: {error}. "
                "Wrap it in a function of your own."
            ) from error


def split_call(call: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of one entry of `queue_many`."""
    if isinstance(call, Mapping):
        return (), dict(call)
    if isinstance(call, tuple | list):
        return tuple(call), {}
    return (call,), {}
