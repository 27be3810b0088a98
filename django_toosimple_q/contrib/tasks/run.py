"""Run a Django Task in the worker, and tell the framework's signals what becomes of it."""

from typing import Any

from django_toosimple_q import frames
from django_toosimple_q.contrib.tasks import results
from django_toosimple_q.contrib.tasks.definition import Definition, split_name, unvalidated
from django_toosimple_q.contrib.tasks.json_values import normal
from django_toosimple_q.exceptions import TaskTimeout
from django_toosimple_q.execution import Claimed, Outcome, running
from django_toosimple_q.failure import failure
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import current_moment, project_datetime
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.lookup import attempts

States = TaskExec.States

# The runs that have begun and not been told of yet, by row: the definition and the result.
begun_results: dict[int, tuple[Definition, Any]] = {}
# The label of this process's worker.
_label = ""


def run_task(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the function of a Task, in the row that runs, and return what JSON makes of its value.

    `task_finished` for a failure is sent from inside the except block, as receivers expect, and
    only when no further attempt follows.
    """
    claimed = running.get()
    definition = claimed and tasks_registry.get(claimed.task_name)
    if claimed is None or not isinstance(definition, Definition):
        return task.call(*args, **kwargs)

    framework = definition.framework
    result = begin(definition, claimed, list(args), kwargs)
    if task.takes_context:
        args = (framework.TaskContext(task_result=result), *args)
    try:
        value = definition.call(*args, **kwargs)
        returned = _returned(value, framework.normalize_json)
    except BaseException as error:
        begun_results.pop(claimed.pk, None)
        outcome = failure(definition, claimed, error)
        if is_final(outcome):
            kind = type(error)
            entry = framework.TaskError(
                exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
                traceback=outcome.error or "",
            )
            # The framework logs it with its traceback, as the exception is being handled here.
            claimed.logged_elsewhere = True
            frames.without_own(error)
            _end(definition, result, "FAILED", current_moment(), entry)
        raise
    object.__setattr__(result, "_return_value", returned)
    return returned


def begin(definition: Definition, claimed: Claimed, args: list[Any], kwargs: Any) -> Any:
    """Return the RUNNING result of a claimed row, once `task_started` was sent."""
    framework = definition.framework
    task = definition.django_task
    deferred = results.run_after(claimed.due, claimed.created)
    if (task.priority, task.queue_name, deferred) != (claimed.priority, claimed.queue, None):
        task = unvalidated(
            framework, task, priority=claimed.priority, queue_name=claimed.queue, run_after=deferred
        )
    result = results.started(definition, task, claimed, _label, (args, kwargs))
    begun_results[claimed.pk] = definition, result
    answers = framework.task_started.send_robust(definition.sender, task_result=result)
    for _, response in answers:
        if isinstance(response, TaskTimeout):
            # The task's own deadline passed in a receiver; it is no error of the receiver.
            raise response
    return result


def is_final(outcome: Outcome) -> bool:
    """Return whether nothing follows a failed run."""
    return outcome.next_attempt is None and not outcome.replaced


def on_worker_started(sender: Any, **kwargs: Any) -> None:
    """Remember who works here."""
    global _label
    _label = str(sender)


def on_task_finished(claimed: Claimed, outcome: Outcome, **kwargs: Any) -> None:
    """Tell of a run that ended without an exception of its task, or that could not begin."""
    begun = begun_results.pop(claimed.pk, None)
    if begun is None and outcome.started is None and outcome.error:
        begun = _loaded(claimed.task_name, claimed.root_id or claimed.pk)
    if begun is None:
        return
    definition, result = begun
    if outcome.state == States.SUCCEEDED:
        _end(definition, result, "SUCCESSFUL", outcome.finished)
    elif is_final(outcome):
        _end_failed(definition, result, claimed, outcome)


def _end_failed(definition: Definition, result: Any, claimed: Claimed, outcome: Outcome) -> None:
    """Tell of a failure while its exception, if there is one, is handled: so it is logged."""
    entry = results.stand_in(definition.framework, outcome.state, outcome.error or "")
    if outcome.exception is None:
        _end(definition, result, "FAILED", outcome.finished, entry)
        return
    claimed.logged_elsewhere = True
    traceback = outcome.exception.__traceback__
    try:
        raise outcome.exception
    except BaseException as error:
        # Without the frame that this has added, which holds the arguments.
        error.__traceback__ = traceback
        _end(definition, result, "FAILED", outcome.finished, entry)


def on_task_rescued(rescue: Any, **kwargs: Any) -> None:
    """Tell of a call that ended with its worker: held, or failed for good."""
    begun = None if rescue.replaced_by else _loaded(rescue.task_name, rescue.task_id)
    if begun is not None:
        definition, result = begun
        definition.framework.task_finished.send_robust(definition.sender, task_result=result)


def _returned(value: Any, normalize_json: Any) -> Any:
    try:
        return normal(value, normalize_json)
    except (TypeError, ValueError) as error:
        error.refused_result = True  # type: ignore[union-attr]
        raise


def _end(definition: Definition, result: Any, status: str, now: Any, error: Any = None) -> None:
    if error is not None:
        result.errors.append(error)
    framework = definition.framework
    object.__setattr__(result, "status", framework.TaskResultStatus[status])
    object.__setattr__(result, "finished_at", project_datetime(now))
    framework.task_finished.send_robust(definition.sender, task_result=result)


def _loaded(task_name: str, pk: int) -> tuple[Definition, Any] | None:
    """Return the result that a row belongs to, or None when it is none of a known Django Task."""
    definition = tasks_registry.get(task_name)
    named = split_name(task_name)
    if named is None or not isinstance(definition, Definition):
        return None
    backend = definition.framework.backend(named[1])
    row = TaskExec.objects.only("root").filter(pk=pk).first()
    rows = attempts(str(row.root_id or row.pk)) if backend and row else []
    return (definition, results.from_rows(backend, rows)) if rows else None
