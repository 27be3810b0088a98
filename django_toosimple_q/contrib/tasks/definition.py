"""Turn a Django Task into a task definition of this queue.

This module imports no models, since `@task` runs while apps are still loading.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache, cached_property, wraps
from inspect import iscoroutinefunction
from typing import Any

from django_toosimple_q.contrib.tasks.framework import Framework
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.task import Task
from django_toosimple_q.task_options import TASK_OPTIONS, Option, refuse_unknown

# The framework has its own fields for these.
FRAMEWORK_OPTIONS = ("name", "queue", "priority")
OPTIONS = {name: one for name, one in TASK_OPTIONS.items() if name not in FRAMEWORK_OPTIONS}
OPTION_NAMES = list(OPTIONS)
WHEN_QUEUED = "Use .using(run_after=...) to set when a call is to start."
SEPARATOR = "@"

# Calls the function of a Task, given it and its arguments.
RunTask = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


def call_directly(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the function of a Task where no worker runs it."""
    return task.call(*args, **kwargs)


_run_task: RunTask = call_directly


def set_runner(run_task: RunTask) -> None:
    """Have a worker call Tasks through `run_task`, which needs the models."""
    global _run_task
    _run_task = run_task


@dataclass(frozen=True, kw_only=True, eq=False)
class Definition(Task[Any, Any]):
    """A definition whose function runs a Django Task. Its name is `path@alias`."""

    django_task: Any
    framework: Framework
    # The class of the backend, which is the sender of the framework's signals.
    sender: type[Any]

    @cached_property
    def call(self) -> Callable[..., Any]:
        """Return a callable that runs the function, coroutine or not."""
        task = self.django_task
        if iscoroutinefunction(task.func) or type(task).call is not self.framework.Task.call:
            return task.call
        return task.func

    def fits(self, task: Any) -> bool:
        """Return whether a Task differs at most in queue, priority and due date."""
        mine = self.django_task
        return (
            mine.func is task.func
            and type(mine) is type(task)
            and all(getattr(mine, name, None) == getattr(task, name, None) for name in OPTION_NAMES)
        )

    def placed(self, task: Any) -> "Definition":
        """Return this definition with the queue and priority of a Task that `fits` it."""
        twin = object.__new__(type(self))
        changes = {"queue_name": task.queue_name, "priority": int(task.priority)}
        twin.__dict__.update(self.__dict__, **changes, django_task=task)
        if twin.sensitive:
            twin._hide_variables()
        return twin

    def retries_after(self, error: BaseException) -> bool:
        """Return whether this kind of failure is worth another attempt; see `Task`."""
        # The work was done, and only its result could not be stored.
        return not getattr(error, "refused_result", False) and super().retries_after(error)


def task_name(path: str, alias: str) -> str:
    """Return the task name in rows that are queued under this alias of TASKS."""
    return f"{path}{SEPARATOR}{alias}"


def split_name(name: str) -> tuple[str, str] | None:
    """Return the path and the alias, or None if the name is not that of a Django Task."""
    path, separator, alias = name.rpartition(SEPARATOR)
    parts = path.split(".")
    if not separator or len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return None
    return path, alias


def define(task: Any, backend: Any, *, declared: bool = False) -> Definition:
    """Return the definition of a Django Task in a backend, registering it if its name is free.

    If a function has several tasks, workers use the options of the last `declared` one.

    Raises the framework's InvalidTask for invalid options.
    """
    name = task_name(task.module_path, backend.alias)
    known = tasks_registry.get(name)
    known = known if isinstance(known, Definition) and known.sender is type(backend) else None
    if known is not None and known.django_task is task:
        return known
    if known is not None and task.backend == backend.alias and known.fits(task):
        return known.placed(task)
    try:
        made = make_definition(task, backend, name)
        if declared or known is None or known.django_task.func is not task.func:
            tasks_registry.register(made)
    except (InvalidDefinition, TypeError) as error:
        raise backend.framework.InvalidTask(str(error)) from error
    return made


def make_definition(task: Any, backend: Any, name: str) -> Definition:
    """Return the definition of a Django Task in a backend, without registering it."""
    if task.backend != backend.alias:
        task = unvalidated(backend.framework, task, backend=backend.alias)
    return Definition(
        func=runner(task),
        name=name,
        queue_name=task.queue_name,
        priority=int(task.priority),
        django_task=task,
        framework=backend.framework,
        sender=type(backend),
        **{name: getattr(task, name) for name in OPTION_NAMES if hasattr(task, name)},
    )


def runner(task: Any) -> Callable[..., Any]:
    """Return the function that a worker calls: it runs the task and sends its signals."""

    @wraps(task.func)
    def run(*args: Any, **kwargs: Any) -> Any:
        return _run_task(task, args, kwargs)

    signature = inspect.signature(task.func, follow_wrapped=False)
    if task.takes_context:
        parameters = list(signature.parameters.values())[1:]
        signature = signature.replace(parameters=parameters)
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def unvalidated(framework: Framework, task: Any, **changes: Any) -> Any:
    """Return a copy of a Task with changes that its backend does not validate.

    A row may have a queue that TASKS no longer names. Its result must still be readable.
    """
    cls = type(task) if isinstance(task, framework.Task) else framework.Task
    names = [one.name for one in fields(cls)]
    kept = {name: getattr(task, name) for name in names if hasattr(task, name)}
    return bare(cls, **{**kept, **changes})


def bare(cls: Any, **values: Any) -> Any:
    """Return an instance of a frozen dataclass without running its `__post_init__`."""
    instance = object.__new__(cls)
    put, given = object.__setattr__, values.get
    for name, default in _defaults(cls):
        put(instance, name, given(name, default))
    return instance


@cache
def _defaults(cls: Any) -> list[tuple[str, Any]]:
    return [(one.name, one.default) for one in fields(cls)]


def task_class(framework: Framework, module: str) -> Any:
    """Return the class of our backend's tasks: the framework's, with this queue's options."""

    def __post_init__(self: Any) -> None:
        # As tuples, so that a Task given lists or sets of exceptions can be compared and hashed.
        for name in ("retry_for", "retry_not_for", "sensitive"):
            read = checked(framework, self.func, name, getattr(self, name))
            object.__setattr__(self, name, read)
        framework.Task.__post_init__(self)
        if framework.backend(self.backend) is not None:
            define(self, self.get_backend(), declared=True)

    def task(self: Any) -> Definition:
        return define(self, self.get_backend())

    cls = make_dataclass(
        "ToosimpleQTask",
        [(name, one.hint, field(default=one.default)) for name, one in OPTIONS.items()],
        bases=(framework.Task,),
        namespace={
            "__doc__": "A Django Task with this queue's options. `task` is its definition.",
            "__post_init__": __post_init__,
            "task": property(task),
        },
        frozen=True,
        slots=True,
        kw_only=True,
    )
    cls.__module__ = module
    return cls


def checked(framework: Framework, func: Any, name: str, given: Any) -> Any:
    """Return the value of an option as definitions keep it. Raises the framework's InvalidTask."""
    what = f"task {getattr(func, '__qualname__', func)!r}: {name}"
    return OPTIONS[name].read(given, what, framework.InvalidTask)


def decorator(framework: Framework) -> Callable[..., Any]:
    """Return a `@task` decorator that takes our options on every release of Django."""

    def task(
        function: Callable[..., Any] | None = None, *, backend: str = "default", **options: Any
    ) -> Any:
        """Make a Django Task: the framework's decorator, with this queue's options.

            @task(retries=3, timeout=60)
            def send_invoice(order_id): ...

        Django 6.0's own decorator refuses options that it does not know. Raises `UnknownOption`
        for an unknown option, and the framework's InvalidTask for an invalid value.
        """
        if "run_after" in options:
            raise TypeError(f"run_after is not an option of @task. {WHEN_QUEUED}")
        settings = {"priority": 0, "queue_name": "default", "run_after": None, **options}

        def decorate(func: Callable[..., Any]) -> Any:
            cls = framework.task_backends[backend].task_class
            theirs = {one.name: Option(name=one.name) for one in fields(cls)}
            refuse_unknown(options, {**theirs, **OPTIONS}, "@task", WHEN_QUEUED)
            return cls(func=func, backend=backend, **settings)

        return decorate if function is None else decorate(function)

    return task
