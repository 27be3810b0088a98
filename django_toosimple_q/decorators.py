"""`@register_task` and `@schedule_task`: turn functions into definitions and register them."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from inspect import Parameter
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.schedule import SCHEDULE_OPTIONS, Schedule, ScheduleOptions
from django_toosimple_q.task import Task
from django_toosimple_q.task_options import TASK_OPTIONS, Option, TaskOptions, refuse_unknown

if TYPE_CHECKING:
    from django_toosimple_q.models import TaskExec

P = ParamSpec("P")
R = TypeVar("R")

METHODS = ("queue", "queue_many", "aqueue", "aqueue_many", "using")


class TaskFunction(Protocol, Generic[P, R]):
    """A registered function. A call runs it at once, and `.queue()` runs it in a worker.

    `task` is its `Task`, which has the same methods.
    """

    task: Task[P, R]
    __name__: str
    __qualname__: str
    __module__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def using(
        self,
        *,
        priority: int | None = None,
        queue: str | None = None,
        due: datetime | None = None,
        expires: datetime | timedelta | None = None,
    ) -> Task[P, R]:
        """Return a copy of the task that queues calls with other settings."""
        ...

    @overload
    def queue(self, *args: P.args, **kwargs: P.kwargs) -> "TaskExec":
        """Store a call as part of the caller's transaction and return its row."""

    @overload
    def queue(self, *args: Any, due: datetime | None, **kwargs: Any) -> "TaskExec":
        """Store a call that starts at `due` and return its row."""

    def queue_many(self, calls: Iterable[Any], *, due: datetime | None = None) -> "list[TaskExec]":
        """Store many calls at once. Each entry is a tuple, list or dict of arguments."""
        ...

    @overload
    async def aqueue(self, *args: P.args, **kwargs: P.kwargs) -> "TaskExec":
        """Store a call from async code and return its row."""

    @overload
    async def aqueue(self, *args: Any, due: datetime | None, **kwargs: Any) -> "TaskExec":
        """Store a call that starts at `due` from async code and return its row."""

    async def aqueue_many(
        self, calls: Iterable[Any], *, due: datetime | None = None
    ) -> "list[TaskExec]":
        """Store many calls from async code. See `queue_many`."""
        ...


@overload
def register_task(func: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def register_task(
    func: None = None, /, **options: Unpack[TaskOptions]
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def register_task(func: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Register a function as a task, and return the same function with `.queue()`.

    If the function is a task under another name already, return a partial of it instead, so that
    each name has its own `.queue()`.

        @register_task(queue="mail", retries=3, retry_delay=60)
        def send_invoice(order_id): ...

        send_invoice.queue(42)

    `TaskOptions` documents the options. Raises `UnknownOption` for any other option,
    `InvalidDefinition` for an invalid value, and `DuplicateName` if two functions share a name.
    """
    refuse_unknown(options, TASK_OPTIONS, "@register_task")

    def decorate(function: Callable[P, R]) -> TaskFunction[P, R]:
        settings = _by_field(options, TASK_OPTIONS)
        if "name" not in settings:
            settings["name"] = _default_name(function)
        task: Task[P, R] = Task(func=function, **settings)
        _refuse_due(task)
        registered = cast(TaskFunction[P, R], _carrier(function, task))
        try:
            registered.task = task
        except (AttributeError, TypeError) as error:
            raise InvalidDefinition(
                f"cannot set .queue() on {function!r}. Wrap it in a function of your own."
            ) from error
        tasks_registry.register(task)
        for method in METHODS:
            setattr(registered, method, getattr(task, method))
        return registered

    return decorate if func is None else decorate(func)


def schedule_task(
    *, cron: str, **options: Unpack[ScheduleOptions]
) -> Callable[[TaskFunction[P, R]], TaskFunction[P, R]]:
    """Queue a task by a cron expression: `minute hour day month weekday [second]`, or "manual".

        @schedule_task(cron="30 8 * * *", args=["John"])
        @register_task()
        def morning_routine(name): ...

    `ScheduleOptions` documents the options. Raises `InvalidCron`, and the exceptions of
    `register_task`.
    """
    refuse_unknown(options, SCHEDULE_OPTIONS, "@schedule_task")

    def decorate(function: TaskFunction[P, R]) -> TaskFunction[P, R]:
        task = getattr(function, "task", None)
        if not isinstance(task, Task):
            raise InvalidDefinition(
                f"@schedule_task got {function!r}, which is not a registered task. "
                "Put @schedule_task above @register_task."
            )
        settings = {"name": task.name, **_by_field(options, SCHEDULE_OPTIONS)}
        schedules_registry.register(Schedule(task=task, cron=cron, **settings))
        return function

    return decorate


def _default_name(function: Callable[..., Any]) -> str:
    qualname = getattr(function, "__qualname__", "")
    if "<locals>" in qualname or "<lambda>" in qualname:
        raise InvalidDefinition(
            f"{function.__module__}.{qualname} is defined in a local scope, so its name does not "
            'identify it. Use @register_task(name="…").'
        )
    if not inspect.isroutine(function) and not qualname:
        raise InvalidDefinition(f'{function!r} has no name. Use register_task(name="…").')
    return f"{function.__module__}.{qualname}"


def _refuse_due(task: Task[P, R]) -> None:
    """Refuse a parameter named `due`, which no call could pass, as `queue(due=…)` is our own."""
    parameter = task.signature.parameters.get("due")
    if parameter and parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
        raise InvalidDefinition(
            f"task {task.name!r} has a parameter named 'due', but queue(due=…) sets when a call "
            "starts. Give the parameter another name, such as due_date."
        )


def _carrier(function: Callable[P, R], task: Task[P, R]) -> Callable[P, R]:
    """Return what gets `.queue()`: the function, or a partial of it if that is another task's."""
    before = getattr(function, "task", None)
    if not isinstance(before, Task) or before.name == task.name:
        return function
    # A wrapper has the attributes of what it wraps, and so has a partial from here.
    own = before.func, getattr(before.func, "__wrapped__", None)
    if function not in own and not isinstance(function, functools.partial):
        return function
    return functools.update_wrapper(functools.partial(function), function)


def _by_field(options: Mapping[str, Any], known: Mapping[str, Option]) -> dict[str, Any]:
    """Return options under their attribute names in the definitions."""
    return {known[name].field: value for name, value in options.items()}


__all__ = ["TaskFunction", "register_task", "schedule_task"]
