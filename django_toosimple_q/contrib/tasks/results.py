"""TaskResults, made from rows."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from django_toosimple_q.contrib.tasks import errors, finder
from django_toosimple_q.contrib.tasks.attempts import attempts
from django_toosimple_q.contrib.tasks.definition import Definition, bare, split_name, unvalidated
from django_toosimple_q.contrib.tasks.framework import Framework
from django_toosimple_q.contrib.tasks.normal import shown
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from django_toosimple_q.payload import Unreadable

States = TaskExec.States

STATUS = {
    States.SLEEPING: "READY",
    States.QUEUED: "READY",
    States.PROCESSING: "RUNNING",
    States.SUCCEEDED: "SUCCESSFUL",
    States.FAILED: "FAILED",
    States.INTERRUPTED: "FAILED",
    States.INVALID: "FAILED",
}
CHAIN_LINKS = re.compile(
    r"\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n"
)
NOTHING_YET = {"started_at": None, "finished_at": None, "last_attempted_at": None}
# What an exception group's traceback is indented by.
GROUP_MARGIN = re.compile(r"^ {2}[+|] ", re.MULTILINE)
ERROR_LINE = re.compile(r"^([^\W\d][\w.<>]*)(?=:|$)", re.MULTILINE)


def enqueued(backend: Any, task: Any, row: TaskExec, args: list[Any], kwargs: Any) -> Any:
    """Return the result of a call that was stored just now."""
    return _result(
        backend.framework,
        task=task,
        id=str(row.root_id or row.pk),
        status=backend.framework.TaskResultStatus.READY,
        enqueued_at=row.created,
        args=args,
        kwargs=kwargs,
    )


def started(
    definition: Definition, task: Any, claimed: Claimed, label: str, call: tuple[Any, Any]
) -> Any:
    """Return the result of a call whose next attempt begins now, in this process."""
    framework = definition.framework
    now = timezone.now()
    earlier = attempts(str(claimed.root_id)) if claimed.root_id else []
    earlier = [row for row in earlier if row.pk != claimed.pk]
    began = [row for row in earlier if row.started is not None]
    # Its constructor would make JSON of arguments that come from JSON.
    return bare(
        framework.TaskResult,
        task=task,
        id=str(claimed.root_id or claimed.pk),
        status=framework.TaskResultStatus.RUNNING,
        enqueued_at=earlier[0].created if earlier else claimed.created,
        started_at=began[0].started if began else now,
        finished_at=None,
        last_attempted_at=now,
        args=call[0],
        kwargs=call[1],
        backend=task.backend,
        errors=[error_of(framework, row) for row in earlier if is_error(row)],
        worker_ids=[*map(worker_id, began), label],
    )


def load(backend: Any, result_id: Any) -> Any:
    """Return the result of this id. Raises TaskResultDoesNotExist."""
    rows = attempts(result_id)
    if not rows or split_name(rows[0].task_name) is None:
        raise backend.framework.TaskResultDoesNotExist(
            f"There is no task result {result_id!r}. It may have been pruned."
        )
    return from_rows(backend, rows)


def from_rows(backend: Any, rows: Sequence[TaskExec]) -> Any:
    """Return the result of a call, given the rows of its attempts, oldest first."""
    first, last = rows[0], rows[-1]
    framework: Framework = backend.framework
    status = framework.TaskResultStatus[STATUS[States(last.state)]]
    began = [row for row in rows if row.started is not None]
    result = _result(
        framework,
        task=_task(backend, last, run_after=run_after(first.due, first.created)),
        id=str(first.root_id or first.pk),
        status=status,
        enqueued_at=first.created,
        started_at=began[0].started if began else None,
        last_attempted_at=began[-1].started if began else None,
        finished_at=last.finished if last.state in States.done() else None,
        args=[] if isinstance(last.args, Unreadable) else last.args,
        kwargs={} if isinstance(last.kwargs, Unreadable) else last.kwargs,
        errors=[error_of(framework, row) for row in rows if is_error(row)],
        worker_ids=[worker_id(row) for row in began],
    )
    if last.state == States.SUCCEEDED:
        object.__setattr__(result, "_return_value", last.result)
    return result


def run_after(due: datetime, created: datetime | None) -> datetime | None:
    """Return when the caller wanted the call to run, or None when at once."""
    return None if due == created else due


def worker_id(row: TaskExec) -> str:
    """Return what names the worker of an attempt; its own row may have been pruned."""
    return row.worker.label if row.worker else f"#{row.worker_id or '?'}"


def is_error(row: TaskExec) -> bool:
    """Tell whether an attempt ended otherwise than well."""
    return row.state in (States.FAILED, States.INTERRUPTED, States.INVALID)


def error_of(framework: Framework, row: TaskExec) -> Any:
    """Return the TaskError of an attempt that did not end well."""
    path = exception_path(row.error or "") or _stand_in(row.state, row.replaced_by_id)
    text = row.error or f"no worker knows the task {row.task_name!r}"
    return framework.TaskError(exception_class_path=path, traceback=text)


def stand_in(framework: Framework, state: str, text: str) -> Any:
    """Return the TaskError of a call that ended without an exception of its own."""
    return framework.TaskError(exception_class_path=_stand_in(state, None), traceback=text)


def exception_path(text: str) -> str | None:
    """Return the class that a traceback names, as a path; None for a text that is none.

    It stands after the last link of a chain, in the first line that belongs to no frame. Looking
    for the last such line instead would take a traceback within the message for the error's own.
    """
    block = GROUP_MARGIN.sub("", CHAIN_LINKS.split(text)[-1])
    _, found, after = block.partition("Traceback (most recent call last):\n")
    line = ERROR_LINE.search(after if found else block)
    if line is None or not (found or "\nTraceback (most recent call last):\n" in f"\n{text}"):
        return None
    path = line.group(1)
    return path if "." in path else f"builtins.{path}"


def _stand_in(state: str, replaced_by: int | None) -> str:
    if state == States.INVALID:
        kind: type[Exception] = errors.Invalid
    elif state == States.FAILED:
        kind = errors.Refused
    else:
        kind = errors.Interrupted if replaced_by else errors.Cancelled
    return f"{kind.__module__}.{kind.__qualname__}"


def _task(backend: Any, row: TaskExec, **changes: Any) -> Any:
    """Return the Task of a row; one whose function is gone can still be looked at."""
    path, alias = split_name(row.task_name) or (row.task_name, backend.alias)
    definition = finder.find_row(row)
    if definition is None:
        task = backend.framework.Task.__new__(backend.framework.Task)
        object.__setattr__(task, "func", _missing(path))
    else:
        task = definition.django_task
    if backend.framework.backend(alias) is None:
        alias = backend.alias
    return unvalidated(
        backend.framework,
        task,
        priority=row.priority,
        queue_name=row.queue,
        backend=alias,
        **changes,
    )


def _missing(path: str) -> Any:
    """Return a function that stands for one that cannot be imported any more."""

    def missing(*args: Any, **kwargs: Any) -> Any:
        raise ImportError(f"{path} is gone, or is no Django Task any more.")

    missing.__module__, _, missing.__qualname__ = path.rpartition(".")
    missing.__name__ = missing.__qualname__
    return missing


def _result(framework: Framework, **fields: Any) -> Any:
    fields = {**NOTHING_YET, "errors": [], "worker_ids": [], **fields}
    try:
        return framework.TaskResult(backend=fields["task"].backend, **fields)
    except (TypeError, ValueError):
        # Not enqueued through the framework: a schedule's datetime is an argument like any other.
        for name in ("args", "kwargs"):
            fields[name] = shown(fields[name], framework.normalize_json)
    return framework.TaskResult(backend=fields["task"].backend, **fields)
