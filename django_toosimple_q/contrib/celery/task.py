"""`@shared_task`: makes a function a task with Celery's methods, defined on this queue."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial, update_wrapper, wraps
from inspect import Parameter, Signature, signature
from sys import exc_info
from typing import Any, Generic, TypeVar, overload

from asgiref.sync import async_to_sync, iscoroutinefunction

from django_toosimple_q import task as core
from django_toosimple_q.contrib.celery import canvas, definition, eager, options, result
from django_toosimple_q.contrib.celery.exceptions import (
    InvalidOption,
    MaxRetriesExceededError,
    NotSupported,
    Retry,
)
from django_toosimple_q.contrib.celery.request import Request, entered, from_row, request_of
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.execution import current_task
from django_toosimple_q.masking import MASK, hiding_variables, masked
from django_toosimple_q.registry import tasks_registry

R = TypeVar("R")

REFUSED = {
    "map": "Call delay() for each item.",
    "starmap": "Call delay(*item) for each item.",
    "chunks": "Call delay() for each slice.",
    "replace": "Queue the other task and return.",
    "add_to_chord": "Queue the next task from the task that finishes last.",
    "app": "There is no app. Call tasks directly, and read Django's settings.",
    "backend": "Results are rows. Use AsyncResult(id).",
    "update_state": "Store the progress in a model of your own.",
}


# What takes the arguments of a call.
QUEUEING = ("delay", "delay_on_commit", "apply_async", "apply_async_on_commit", "apply")


class Task(Generic[R]):
    """A task made by `@shared_task`. A call runs it here, and `delay` runs it in a worker.

    `task` is its definition on this queue, and `run` is the function itself.
    """

    MaxRetriesExceededError = MaxRetriesExceededError
    AsyncResult = result.AsyncResult

    def __init__(self, function: Callable[..., R], given: definition.TaskOptions) -> None:
        self.run = function
        update_wrapper(self, function)
        name = _default_name(function) if given.name is None else given.name
        self.options = given
        self.bound = given.bind
        self.max_retries = given.max_retries
        self.default_retry_delay = given.default_retry_delay
        self.ignore_result = bool(given.setting("ignore_result"))
        self.task: core.Task[..., Any] = core.Task(
            func=_run_by_worker(self), name=name, **definition.settings_of(name, given)
        )
        tasks_registry.register(self.task)
        if self.task.sensitive:
            for method in QUEUEING:
                setattr(self, method, hiding_variables(getattr(self, method)))

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return canvas.find, (self.name,)

    def __getattr__(self, name: str) -> Any:
        if name in REFUSED:
            raise NotSupported(f"{self.name}.{name} is not available here. {REFUSED[name]}")
        if name in definition.NAMES:
            return getattr(self.options, name)
        raise AttributeError(f"a task has no attribute {name!r}")

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Run the function in this process."""
        with entered(self, Request(task=self.name, args=args, kwargs=kwargs)):
            return self.call(args, kwargs)

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def request(self) -> Request:
        """Return the request of the call that runs in this context."""
        return request_of(self)

    def delay(self, *args: Any, **kwargs: Any) -> result.AsyncResult | result.EagerResult:
        """Queue a call and return an `AsyncResult`."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **call_options: Any,
    ) -> result.AsyncResult | result.EagerResult:
        """Queue a call and return an `AsyncResult`. Its row is part of the caller's transaction.

            add.apply_async((2, 3), countdown=60, queue="slow")

        Options: countdown (seconds) or eta (datetime), expires (seconds or datetime), queue,
        priority, time_limit, soft_time_limit. Raises `InvalidArguments` (a TypeError) when the
        arguments do not fit, `InvalidOption`, `InvalidDue` or `NotSupported` for an option.
        """
        args, kwargs = _checked(self.task, args, kwargs)
        call = options.read(call_options)
        if eager.is_on():
            return eager.run(self, args, kwargs, throw=eager.propagates())
        # Tasks may be defined before the models are ready. Calls are queued later.
        from django_toosimple_q.contrib.celery import rows

        task = replace(self.task, **call.changes) if call.changes else self.task
        return result.AsyncResult(rows.enqueue(task, args, kwargs, call.due))

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        throw: bool | None = None,
        **call_options: Any,
    ) -> result.EagerResult:
        """Run a call in this process, with its retries, and return its result.

        The result keeps its exception. With `throw`, which defaults to
        CELERY_TASK_EAGER_PROPAGATES, the exception is raised.
        """
        args, kwargs = _checked(self.task, args, kwargs)
        options.read(call_options)
        throws = eager.propagates() if throw is None else throw
        return eager.run(self, args, kwargs, throw=throws)

    # A call is part of the caller's transaction, so it waits for the commit in any case.
    delay_on_commit = delay
    apply_async_on_commit = apply_async

    def s(self, *args: Any, **kwargs: Any) -> canvas.Signature:
        """Return a signature, a call to be made later."""
        return canvas.Signature(self, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> canvas.Signature:
        """Return an immutable signature, which takes no further arguments."""
        return canvas.Signature(self, args, kwargs, immutable=True)

    def signature(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        immutable: bool = False,
        **call_options: Any,
    ) -> canvas.Signature:
        """Return a signature with options for `apply_async`."""
        return canvas.Signature(self, args or (), kwargs or {}, call_options, immutable)

    subtask = signature

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **call_options: Any,
    ) -> Retry:
        """Run this call again after `countdown` seconds, by default `default_retry_delay`.

        Raises `Retry`, which ends the attempt. With `throw=False` it returns the exception, and
        the attempt ends when the function returns. If no retries are left, it raises `exc`, or
        else `MaxRetriesExceededError`.
        """
        request = self.request
        if request.called_directly:
            raise exc or exc_info()[1] or Retry("Task can be retried")
        _refuse_changes(self.name, request, args, kwargs, call_options)
        limit = self.max_retries if max_retries is None else max_retries
        if limit is not None and request.retries >= limit:
            shown = masked(self.task, request.args, request.kwargs)
            raise exc or MaxRetriesExceededError(
                f"Can't retry {self.name}[{request.id}] args:{shown[0]} kwargs:{shown[1]}"
            )
        due = options.due_of(countdown, eta)
        when = (
            due if eta is not None else self.default_retry_delay if countdown is None else countdown
        )
        # max_retries may exceed that of the definition. The row then has no retries left to count.
        asked = Retry(exc=exc, when=when, is_eager=request.is_eager, count=request.left != 0)
        if throw:
            raise asked from exc or exc_info()[1]
        request.asked = asked
        return asked

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> R:
        """Call the function, with the task as first argument if bound. Raise a pending `Retry`."""
        function: Any = async_to_sync(self.run) if iscoroutinefunction(self.run) else self.run
        try:
            value: R = function(self, *args, **kwargs) if self.bound else function(*args, **kwargs)
        except Retry as retry:
            if retry.delay_seconds is None:
                retry.delay_seconds = self.default_retry_delay
            raise
        asked = self.request.asked
        if asked is not None:
            raise asked
        return value


@overload
def shared_task(function: Callable[..., R], /) -> Task[R]: ...
@overload
def shared_task(
    function: None = None, /, **given: Any
) -> Callable[[Callable[..., R]], Task[R]]: ...
def shared_task(function: Any = None, /, **given: Any) -> Any:
    """Turn a function into a task that `delay()` queues.

        @shared_task(bind=True, autoretry_for=(OSError,), retry_backoff=True)
        def fetch(self, url): ...

    Options: name, queue, priority, bind, autoretry_for, dont_autoretry_for, retry_kwargs,
    max_retries (3), default_retry_delay (180), retry_backoff, retry_backoff_max (600),
    retry_jitter, time_limit, soft_time_limit, expires, ignore_result, acks_late,
    and `sensitive` as for `register_task`. Other options of Celery are accepted and have no effect,
    or are refused. Raises `UnknownOption`, `InvalidDefinition` or `NotSupported`.
    """
    if function is not None and not callable(function):
        raise InvalidOption(
            f"shared_task takes a function, got {function!r}. Pass options by name."
        )
    read = definition.read(given)
    return partial(Task, given=read) if function is None else Task(function, read)


def _default_name(function: Any) -> str:
    """Return the module and name of a function, as Celery names its task."""
    own = getattr(function, "__name__", None)
    if own is None or own == "<lambda>":
        raise InvalidDefinition(f"{function!r} has no name. Use shared_task(name=…).")
    return f"{function.__module__}.{own}"


def _run_by_worker(task: Task[Any]) -> Callable[..., Any]:
    """Return the callable that a worker runs: the function, with its row as `request`."""

    @wraps(task.run)
    def run(*args: Any, **kwargs: Any) -> Any:
        claimed = current_task()
        if claimed is None:
            return task(*args, **kwargs)
        with entered(task, from_row(claimed, task.task.retries, args, kwargs)):
            value = task.call(args, kwargs)
        return None if task.ignore_result else value

    run.celery_task = task  # type: ignore[attr-defined]
    run.__signature__ = _without_self(signature(task.run)) if task.bound else signature(task.run)  # type: ignore[attr-defined]
    return run


def _without_self(full: Signature) -> Signature:
    """Return the signature that callers of a bound task see."""
    parameters = list(full.parameters.values())
    if parameters and parameters[0].kind is not Parameter.VAR_POSITIONAL:
        del parameters[0]
    return full.replace(parameters=parameters)


def _checked(
    task: core.Task[..., Any], args: Any, kwargs: Any
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if args is not None and not isinstance(args, list | tuple):
        shown = MASK if task.sensitive else args
        raise InvalidOption(f"args of {task.name} must be a list or tuple, got {shown!r}.")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        shown = MASK if task.sensitive else kwargs
        raise InvalidOption(f"kwargs of {task.name} must be a dict, got {shown!r}.")
    return tuple(args or ()), dict(kwargs or {})


def _refuse_changes(
    name: str, request: Request, args: Any, kwargs: Any, call_options: Mapping[str, Any]
) -> None:
    """Refuse other arguments or options, since a retry keeps those of its call."""
    changed = [
        *(["args"] if args is not None and list(args) != list(request.args) else []),
        *(["kwargs"] if kwargs is not None and dict(kwargs) != dict(request.kwargs) else []),
        *(option for option in call_options if option in options.USED),
    ]
    if changed:
        raise NotSupported(
            f"a retry of {name} cannot change {' and '.join(changed)} of its call. "
            f"Queue a new call: {name.rpartition('.')[2]}.apply_async(…)."
        )
    for option, value in call_options.items():
        options.refuse_or_warn(option, value, "retry")
