"""The registries of tasks and schedules by name. Only what is registered runs."""

import inspect
from collections.abc import Callable, Collection
from typing import Any, Protocol, TypeVar

from django_toosimple_q.exceptions import DuplicateName
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.task import Task


class Definition(Protocol):
    """The attributes of an entry of a registry."""

    @property
    def name(self) -> str: ...

    @property
    def queue_name(self) -> str: ...

    @property
    def location(self) -> str: ...


D = TypeVar("D", bound=Definition)


class Registry(dict[str, D]):
    """Definitions by name."""

    def register(self, definition: D) -> None:
        """Add a definition. Raises `DuplicateName` if another one has the same name.

        If a module is imported twice, the new definition of a function replaces the old one.
        """
        other = self.get(definition.name)
        if other is not None and not same_function(definition, other):
            raise DuplicateName(
                f"{type(definition).__name__.lower()} name {definition.name!r} is defined twice: "
                f"at {other.location} and at {definition.location}. Give one of them another name=."
            )
        self[definition.name] = definition

    def for_queue(
        self, queues: Collection[str] = (), excluded_queues: Collection[str] = ()
    ) -> list[D]:
        """Return the definitions of the included queues (default: all) without the excluded."""
        return [
            definition
            for definition in self.values()
            if (not queues or definition.queue_name in queues)
            and definition.queue_name not in excluded_queues
        ]


class TaskRegistry(Registry[Task[Any, Any]]):
    """Tasks by name, and finders for tasks that no import has registered yet."""

    def __init__(self) -> None:
        super().__init__()
        self.finders: list[Callable[[Any], Task[Any, Any] | None]] = []

    def find(self, claimed: Any) -> Task[Any, Any] | None:
        """Return the task of a claimed row. Ask the finders for a name that is not registered.

        A finder returns a task only after it has verified the row's signature, and registers it.
        """
        task = self.get(claimed.task_name)
        if task is not None:
            return task
        answers = (finder(claimed) for finder in self.finders)
        return next((answer for answer in answers if answer is not None), None)


def same_function(one: Any, other: Any) -> bool:
    """Return whether two definitions come from the same lines of the same file."""
    return _origin(one) == _origin(other) and _details(one) == _details(other)


def _origin(definition: Any) -> tuple[str, str, str | None]:
    func = inspect.unwrap(getattr(definition, "task", definition).func)
    code = getattr(func, "__code__", None)
    return func.__module__, func.__qualname__, code and code.co_filename


def _details(definition: Any) -> tuple[Any, ...]:
    """Return what distinguishes two schedules of one function under one name."""
    if not isinstance(definition, Schedule):
        return ()
    return definition.cron, definition.args, definition.kwargs, definition.queue_name


tasks_registry = TaskRegistry()
schedules_registry: Registry[Schedule] = Registry()
