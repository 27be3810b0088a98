"""`@register_task` and `@schedule_task`: turn functions into definitions and register them."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from django_toosimple_q.exceptions import InvalidDefinition, UnknownOption
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.task import Task

if TYPE_CHECKING:
    from django_toosimple_q.models import TaskExec

P = ParamSpec("P")
R = TypeVar("R")

# What the decorators offer, under the names that the definitions give them.
RENAMED = {"queue": "queue_name"}
TASK_OPTIONS = {f.name for f in fields(Task) if f.init} - {"func", "queue_name", "due"} | {"queue"}
SCHEDULE_OPTIONS = {f.name for f in fields(Schedule) if f.init} - {"task", "queue_name"} | {"queue"}


class TaskFunction(Protocol, Generic[P, R]):
    """A registered function: called, it runs at once; queued, it runs in a worker."""

    task: Task[P, R]
    __name__: str
    __qualname__: str
    __module__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def using(self, **settings: Any) -> Task[P, R]: ...
    def queue(self, *args: Any, due: datetime | None = None, **kwargs: Any) -> "TaskExec": ...
    def queue_many(
        self, calls: Iterable[Any], *, due: datetime | None = None
    ) -> "list[TaskExec]": ...
    async def aqueue(
        self, *args: Any, due: datetime | None = None, **kwargs: Any
    ) -> "TaskExec": ...
    async def aqueue_many(
        self, calls: Iterable[Any], *, due: datetime | None = None
    ) -> "list[TaskExec]": ...


@overload
def register_task(func: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def register_task(
    func: None = None, /, **options: Any
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def register_task(func: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Register a function as a task and give it `.queue()`; the function stays as it is.

        @register_task(queue="mail", retries=3, retry_delay=60)
        def send_invoice(order_id): ...

        send_invoice.queue(42)

    Options are those of `Task`: name (default: module.qualname), queue, priority, unique,
    unique_by, retries, retry_delay, retry_delay_max, retry_jitter, retry_for, retry_not_for,
    timeout, timeout_grace, max_running, rate_limit, atomic, on_interruption, expires. Raises
    `UnknownOption` for any other, `InvalidDefinition` for a value that cannot be right,
    `DuplicateName` when two functions share a name.
    """
    _check_options(options, TASK_OPTIONS, "register_task")

    def decorate(function: Callable[P, R]) -> TaskFunction[P, R]:
        settings = _renamed(options)
        if "name" not in settings:
            settings["name"] = _default_name(function)
        task: Task[P, R] = Task(func=function, **settings)
        registered = cast(TaskFunction[P, R], function)
        try:
            registered.task = task
        except AttributeError as error:
            raise InvalidDefinition(
                f"{function!r} cannot carry .queue(). Wrap it in a function of your own."
            ) from error
        tasks_registry.register(task)
        for method in ("queue", "queue_many", "aqueue", "aqueue_many", "using"):
            setattr(registered, method, getattr(task, method))
        return registered

    return decorate if func is None else decorate(func)


def schedule_task(
    *, cron: str, **options: Any
) -> Callable[[TaskFunction[P, R]], TaskFunction[P, R]]:
    """Queue a task by a cron expression: `minute hour day month weekday [second]`, or "manual".

        @schedule_task(cron="30 8 * * *", args=["John"])
        @register_task()
        def morning_routine(name): ...

    Options are those of `Schedule`: name (default: the task's), queue, args, kwargs,
    datetime_kwarg, catch_up, run_on_creation, timezone. Raises `InvalidCron`, and what
    `register_task` raises.
    """
    _check_options(options, SCHEDULE_OPTIONS, "schedule_task")

    def decorate(function: TaskFunction[P, R]) -> TaskFunction[P, R]:
        task = getattr(function, "task", None)
        if not isinstance(task, Task):
            raise InvalidDefinition(
                f"@schedule_task is given {function!r}, which is no registered task. "
                "Write @schedule_task above @register_task."
            )
        settings: dict[str, Any] = {"name": task.name, **_renamed(options)}
        schedules_registry.register(Schedule(task=task, cron=cron, **settings))
        return function

    return decorate


def _default_name(function: Callable[..., Any]) -> str:
    qualname = getattr(function, "__qualname__", "")
    if "<locals>" in qualname or "<lambda>" in qualname:
        raise InvalidDefinition(
            f"{function.__module__}.{qualname} is defined in a local scope, so its name does not "
            'identify it. Give it one: @register_task(name="…").'
        )
    if not inspect.isroutine(function) and not qualname:
        raise InvalidDefinition(
            f'{function!r} has no name of its own. Use register_task(name="…").'
        )
    return f"{function.__module__}.{qualname}"


def _check_options(options: Mapping[str, Any], known: set[str], decorator: str) -> None:
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            cure = (
                f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(sorted(known))}."
            )
            raise UnknownOption(f"@{decorator} has no option {name!r}. {cure}")


def _renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(name, name): value for name, value in options.items()}


__all__: Sequence[str] = ("TaskFunction", "register_task", "schedule_task")
