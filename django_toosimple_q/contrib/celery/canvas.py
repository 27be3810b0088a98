"""Signatures: calls to be made later. Celery's ways to combine them raise `NotSupported`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from django_toosimple_q.contrib.celery.exceptions import NotRegistered, NotSupported
from django_toosimple_q.exceptions import did_you_mean
from django_toosimple_q.masking import masked_in_part
from django_toosimple_q.registry import tasks_registry

AT_THE_END = "Queue the next task at the end of the previous one: next_task.delay(result)."


@dataclass
class Signature:
    """A call of a task with its arguments and options, made by `s`, `si` or `signature`.

    Further positional arguments go before its own. An immutable signature ignores them.
    """

    type: Any
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    immutable: bool = False

    @property
    def task(self) -> str:
        return str(self.type.name)

    def __repr__(self) -> str:
        args, kwargs = masked_in_part(self.type.task, self.args, self.kwargs)
        shown = [*map(repr, args), *(f"{name}={v!r}" for name, v in kwargs.items())]
        return f"{self.task}({', '.join(shown)})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the call in this process, as a function."""
        merged = self.clone(args, kwargs)
        return self.type(*merged.args, **merged.kwargs)

    def set(self, immutable: bool | None = None, **options: Any) -> "Signature":
        """Add options for `apply_async` and return this signature."""
        self.immutable = self.immutable if immutable is None else immutable
        self.options.update(options)
        return self

    def clone(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> "Signature":
        """Return a copy with further arguments and options."""
        merged = {**self.options, **options}
        if self.immutable:
            return Signature(self.type, self.args, self.kwargs, merged, True)
        both = {**self.kwargs, **(kwargs or {})}
        return Signature(self.type, (*(args or ()), *self.args), both, merged)

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Queue the call, with further arguments, and return an `AsyncResult`."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Queue the call, with further arguments and options, and return an `AsyncResult`."""
        merged = self.clone(args, kwargs, **options)
        return self.type.apply_async(merged.args, merged.kwargs, **merged.options)

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run the call in this process and return an `EagerResult`."""
        merged = self.clone(args, kwargs, **options)
        return self.type.apply(merged.args, merged.kwargs, **merged.options)

    def __or__(self, other: Any) -> NoReturn:
        raise NotSupported(f"{self!r} | … is a chain, which is not available here. {AT_THE_END}")

    def link(self, *args: Any) -> NoReturn:
        """Not available."""
        raise NotSupported(f"{self!r}.link is not available here. {AT_THE_END}")

    def link_error(self, *args: Any) -> NoReturn:
        """Not available."""
        raise NotSupported(
            f"{self!r}.link_error is not available here. "
            "Catch the exception in the task, and queue the next task there."
        )

    on_error = link_error


def signature(
    task: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    immutable: bool = False,
    **more: Any,
) -> Signature:
    """Return a signature of a task, given the task or its name. Raises `NotRegistered`."""
    if isinstance(task, Signature):
        return task
    found = find(task) if isinstance(task, str) else task
    return Signature(found, args or (), kwargs or {}, {**(options or {}), **more}, immutable)


def find(name: str) -> Any:
    """Return the `Task` with this name. Raises `NotRegistered`."""
    known = tasks()
    task = known.get(name)
    if task is None:
        cure = did_you_mean(name, known, "Import the module that defines it.")
        raise NotRegistered(f"no @shared_task has the name {name!r}. {cure}")
    return task


def tasks() -> dict[str, Any]:
    """Return all tasks that `shared_task` has made, by name."""
    made = ((name, getattr(one.func, "celery_task", None)) for name, one in tasks_registry.items())
    return {name: task for name, task in made if task is not None}


def chain(*tasks: Any, **options: Any) -> NoReturn:
    """Not available."""
    raise NotSupported(f"chain is not available here. {AT_THE_END}")


def group(*tasks: Any, **options: Any) -> NoReturn:
    """Not available."""
    raise NotSupported(
        "group is not available here. Call delay() for each, or queue many at once with "
        "my_task.task.queue_many(calls)."
    )


def chord(*tasks: Any, **options: Any) -> NoReturn:
    """Not available."""
    raise NotSupported(
        "chord is not available here. Count the remaining tasks in a model of your own, and queue "
        "the last step from the task that finishes last."
    )


def chunks(*args: Any, **options: Any) -> NoReturn:
    """Not available."""
    raise NotSupported("chunks is not available here. Call delay() for each slice.")


def xmap(*args: Any, **options: Any) -> NoReturn:
    """Not available."""
    raise NotSupported("map is not available here. Call delay() for each item.")


def starmap(*args: Any, **options: Any) -> NoReturn:
    """Not available."""
    raise NotSupported("starmap is not available here. Call delay(*item) for each item.")
