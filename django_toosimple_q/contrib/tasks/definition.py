"""A Django Task as a definition of this queue.

Imports no models: `@task` runs while apps are still loading.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import cache, cached_property, wraps
from inspect import iscoroutinefunction
from typing import Any

from django_toosimple_q.contrib.tasks.framework import Framework
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.task import Task

# What the framework has a word of its own for.
FRAMEWORK_OPTIONS = {"func", "name", "queue_name", "priority", "due"}
OPTIONS = [f for f in fields(Task) if f.init and f.name not in FRAMEWORK_OPTIONS]
OPTION_NAMES = [f.name for f in OPTIONS]
SEPARATOR = "@"


@dataclass(frozen=True, kw_only=True, eq=False)
class Definition(Task[Any, Any]):
    """A definition whose function runs a Django Task; `path@alias` is its name."""

    django_task: Any
    framework: Framework
    # The class of the backend: what the framework's signals are sent by.
    sender: type[Any]

    @cached_property
    def call(self) -> Callable[..., Any]:
        """Return what calls the function, coroutine or not."""
        task = self.django_task
        if iscoroutinefunction(task.func) or type(task).call is not self.framework.Task.call:
            return task.call
        return task.func

    def fits(self, task: Any) -> bool:
        """Tell whether a Task differs in nothing but where and when its calls are queued."""
        mine = self.django_task
        return (
            mine.func is task.func
            and type(mine) is type(task)
            and all(getattr(mine, name, None) == getattr(task, name, None) for name in OPTION_NAMES)
        )

    def placed(self, task: Any) -> "Definition":
        """Return this definition with the queue and the priority of a Task that it fits."""
        twin = object.__new__(type(self))
        changes = {"queue_name": task.queue_name, "priority": int(task.priority)}
        twin.__dict__.update(self.__dict__, **changes, django_task=task)
        return twin

    def retries_after(self, error: BaseException) -> bool:
        """Tell whether this kind of failure is worth another attempt; see `Task`."""
        # The work was done: only its result was refused.
        return not getattr(error, "refused_result", False) and super().retries_after(error)


def task_name(path: str, alias: str) -> str:
    """Return the name that rows of this task carry under this alias of TASKS."""
    return f"{path}{SEPARATOR}{alias}"


def split_name(name: str) -> tuple[str, str] | None:
    """Return path and alias, or None when the name is none of a Django Task."""
    path, separator, alias = name.rpartition(SEPARATOR)
    parts = path.split(".")
    if not separator or len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return None
    return path, alias


def define(task: Any, backend: Any, *, declared: bool = False) -> Definition:
    """Return the definition of a Django Task in a backend, registering it if its name is free.

    Of several tasks of one function the last `declared` one says how a worker runs them.

    Raises the framework's InvalidTask for options that cannot be right.
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
    """Return the definition of a Django Task in a backend, unregistered."""
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
    """Return the function that the worker calls: the task's, between the framework's signals."""

    @wraps(task.func)
    def run(*args: Any, **kwargs: Any) -> Any:
        # Importing it needs the models.
        from django_toosimple_q.contrib.tasks.run import run_task

        return run_task(task, args, kwargs)

    signature = inspect.signature(task.func, follow_wrapped=False)
    if task.takes_context:
        parameters = list(signature.parameters.values())[1:]
        signature = signature.replace(parameters=parameters)
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def unvalidated(framework: Framework, task: Any, **changes: Any) -> Any:
    """Return a copy of a Task with changes that its backend is not asked about.

    A row may carry a queue that TASKS no longer names; its result must be readable all the same.
    """
    cls = type(task) if isinstance(task, framework.Task) else framework.Task
    names = [one.name for one in fields(cls)]
    kept = {name: getattr(task, name) for name in names if hasattr(task, name)}
    return bare(cls, **{**kept, **changes})


def bare(cls: Any, **values: Any) -> Any:
    """Return an instance of a frozen dataclass that its `__post_init__` has not seen."""
    instance = object.__new__(cls)
    put, given = object.__setattr__, values.get
    for name, default in _defaults(cls):
        put(instance, name, given(name, default))
    return instance


@cache
def _defaults(cls: Any) -> list[tuple[str, Any]]:
    return [(one.name, one.default) for one in fields(cls)]


def task_class(framework: Framework, module: str) -> Any:
    """Return the class of the tasks that our backend makes: the framework's, and our options."""

    def __post_init__(self: Any) -> None:
        framework.Task.__post_init__(self)
        if framework.backend(self.backend) is not None:
            define(self, self.get_backend(), declared=True)

    def task(self: Any) -> Definition:
        return define(self, self.get_backend())

    cls = make_dataclass(
        "ToosimpleQTask",
        [(f.name, f.type, _default_of(f)) for f in OPTIONS],
        bases=(framework.Task,),
        namespace={
            "__doc__": "A Django Task with this queue's options; `task` is its definition.",
            "__post_init__": __post_init__,
            "task": property(task),
        },
        frozen=True,
        slots=True,
        kw_only=True,
    )
    cls.__module__ = module
    return cls


def decorator(framework: Framework) -> Callable[..., Any]:
    """Return the framework's `@task`, taking our options on every release of Django."""

    def task(
        function: Callable[..., Any] | None = None, *, backend: str = "default", **options: Any
    ) -> Any:
        """Make a Django Task: the framework's decorator, with this queue's options.

            @task(retries=3, timeout=60)
            def send_invoice(order_id): ...

        Django 6.0's own decorator refuses options that it does not know.
        """
        if "run_after" in options:
            raise TypeError("run_after is no option of @task. Use .using(run_after=...) to set it.")
        settings = {"priority": 0, "queue_name": "default", "run_after": None, **options}

        def decorate(func: Callable[..., Any]) -> Any:
            cls = framework.task_backends[backend].task_class
            return cls(func=func, backend=backend, **settings)

        return decorate if function is None else decorate(function)

    return task


def _default_of(option: Any) -> Any:
    if option.default_factory is not MISSING:
        return field(default_factory=option.default_factory)
    return field(default=option.default)
