"""What the two lines of the framework have in common, under the same names."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from django_toosimple_q.masking import MASK


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One line of the framework: `django.tasks` or `django_tasks`."""

    task_backends: Any
    Task: type[Any]
    TaskContext: type[Any]
    TaskError: type[Any]
    TaskResult: type[Any]
    TaskResultStatus: Any
    InvalidTask: type[Exception]
    InvalidTaskBackend: type[Exception]
    TaskResultDoesNotExist: type[Exception]
    task_enqueued: Any
    task_started: Any
    task_finished: Any
    normalize_json: Callable[[Any], Any]

    def backend(self, alias: str) -> Any:
        """Return our backend with this alias, or None if TASKS has no such backend."""
        try:
            backend = self.task_backends[alias]
        except self.InvalidTaskBackend:
            return None
        return backend if getattr(backend, "framework", None) is self else None

    @cached_property
    def MaskedTaskResult(self) -> Any:
        """Return the class of results whose `repr` shows no arguments."""
        return masked_class(self.TaskResult)


def masked_class(result_class: Any) -> Any:
    """Return a class like that of the framework's results, with another `repr`."""

    def __repr__(self: Any) -> str:
        shown = {one.name: getattr(self, one.name, None) for one in fields(self) if one.repr}
        shown.update(args=MASK, kwargs=MASK)
        values = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{result_class.__qualname__}({values})"

    def __reduce__(self: Any) -> tuple[Any, ...]:
        # As one of the framework's own, which pickle finds by its name.
        return _restored, (result_class, self.__getstate__())

    namespace = {"__slots__": (), "__repr__": __repr__, "__reduce__": __reduce__}
    return type(result_class.__name__, (result_class,), namespace)


def _restored(result_class: Any, state: Any) -> Any:
    result = object.__new__(result_class)
    result.__setstate__(state)
    return result


_loaded: list[Framework] = []


def register(framework: Framework) -> Framework:
    """Add the line of a backend that is imported, and return it."""
    _loaded.append(framework)
    return framework


def loaded() -> list[Framework]:
    """Return the lines of the framework that our backends in this process serve."""
    return list(_loaded)
