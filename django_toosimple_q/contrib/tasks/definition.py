"""A Django Task as a definition of this queue.

Imports no models: `@task` runs while apps are still loading.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import wraps
from typing import Any

from django_toosimple_q.contrib.tasks.framework import Framework
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.task import Task

# What the framework has a word of its own for.
FRAMEWORK_OPTIONS = {"func", "name", "queue_name", "priority", "due"}
OPTIONS = [f for f in fields(Task) if f.init and f.name not in FRAMEWORK_OPTIONS]
SEPARATOR = "@"


@dataclass(frozen=True, kw_only=True, eq=False)
class Definition(Task[Any, Any]):
    """A definition whose function runs a Django Task; `path@alias` is its name."""

    django_task: Any
    framework: Framework

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


def define(task: Any, framework: Framework, alias: str) -> Definition:
    """Return the definition of a Django Task, registering the first of its name.

    Raises the framework's InvalidTask for options that cannot be right.
    """
    name = task_name(task.module_path, alias)
    known = tasks_registry.get(name)
    if isinstance(known, Definition) and known.django_task is task:
        return known
    try:
        made = make_definition(task, framework, name, alias)
        if not isinstance(known, Definition) or known.django_task.func is not task.func:
            tasks_registry.register(made)
    except (InvalidDefinition, TypeError) as error:
        raise framework.InvalidTask(str(error)) from error
    return made


def make_definition(task: Any, framework: Framework, name: str, alias: str) -> Definition:
    """Return the definition of a Django Task under an alias of TASKS, unregistered."""
    if task.backend != alias:
        task = unvalidated(framework, task, backend=alias)
    return Definition(
        func=runner(task),
        name=name,
        queue_name=task.queue_name,
        priority=int(task.priority),
        django_task=task,
        framework=framework,
        **{f.name: getattr(task, f.name) for f in OPTIONS if hasattr(task, f.name)},
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
    copy = object.__new__(cls)
    for one in fields(cls):
        value = changes.get(one.name, getattr(task, one.name, one.default))
        object.__setattr__(copy, one.name, value)
    return copy


def task_class(framework: Framework, module: str) -> Any:
    """Return the class of the tasks that our backend makes: the framework's, and our options."""

    def __post_init__(self: Any) -> None:
        framework.Task.__post_init__(self)
        if framework.backend(self.backend) is not None:
            define(self, framework, self.backend)

    def task(self: Any) -> Definition:
        return define(self, framework, self.backend)

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
