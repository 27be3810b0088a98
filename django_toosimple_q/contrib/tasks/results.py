"""TaskResults, made from rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django_toosimple_q.contrib.tasks import errors, finder
from django_toosimple_q.contrib.tasks.definition import Definition, bare, split_name, unvalidated
from django_toosimple_q.contrib.tasks.framework import Framework
from django_toosimple_q.contrib.tasks.json_values import shown
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import current_moment, project_datetime
from django_toosimple_q.payload import Unreadable, is_sensitive
from django_toosimple_q.public_ids import candidates, fits, make_id
from django_toosimple_q.store.lookup import attempts

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
NOTHING_YET = {"started_at": None, "finished_at": None, "last_attempted_at": None}


def enqueued(backend: Any, task: Any, row: TaskExec, args: list[Any], kwargs: Any) -> Any:
    """Return the result of a call that was stored just now."""
    return _result(
        backend.framework,
        None,
        task=task,
        id=id_of(row),
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
    now = project_datetime(current_moment())
    created = claimed.created and project_datetime(claimed.created)
    earlier = attempts(str(claimed.root_id)) if claimed.root_id else []
    earlier = [row for row in earlier if row.pk != claimed.pk]
    began = [row for row in earlier if row.started is not None]
    # Its constructor would make JSON of arguments that come from JSON.
    return bare(
        _class(framework, task, claimed),
        task=task,
        id=id_of(claimed),
        status=framework.TaskResultStatus.RUNNING,
        enqueued_at=earlier[0].created if earlier else created,
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
    rows = find(result_id)
    if not rows or split_name(rows[0].task_name) is None:
        raise backend.framework.TaskResultDoesNotExist(
            f"There is no task result {result_id!r}. It may have been pruned."
        )
    return from_rows(backend, rows, None if type(result_id) is int else result_id)


def find(result_id: Any) -> list[TaskExec]:
    """Return the rows of a call, oldest first, by its result id; none for any other id.

    An int is the number of its first row. A text of digits is none: who reads a result by what
    came with a request must not be able to count through those of others.
    """
    if type(result_id) is int:
        return attempts(str(result_id))
    try:
        uuid = UUID(result_id)
    except (TypeError, ValueError, AttributeError):
        return []
    if str(uuid) != result_id:
        return []
    for number in candidates(uuid):
        rows = attempts(str(number))
        if rows and fits(uuid, number, rows[-1].task_name, *sealed(rows[-1])):
            return rows
    return []


def id_of(row: Any) -> str:
    """Return the result id of a call, given the row of any of its attempts."""
    return make_id(row.root_id or row.pk, row.task_name, *sealed(row))


def sealed(row: Any) -> tuple[str, str]:
    """Return the stored arguments of a row or a claimed one: the same in every attempt."""
    if isinstance(row, Claimed):
        return row.args, row.kwargs
    return row.__dict__["args"].text, row.__dict__["kwargs"].text


def from_rows(backend: Any, rows: Sequence[TaskExec], result_id: str | None = None) -> Any:
    """Return the result of a call, given the rows of its attempts, oldest first.

    `result_id` is the id that it was asked for by: after SECRET_KEY was changed it is another one
    than would be made now.
    """
    first, last = rows[0], rows[-1]
    framework: Framework = backend.framework
    status = framework.TaskResultStatus[STATUS[States(last.state)]]
    began = [row for row in rows if row.started is not None]
    result = _result(
        framework,
        last,
        task=_task(backend, last, run_after=run_after(first.due, first.created)),
        id=result_id or id_of(last),
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
    return None if due == created else project_datetime(due)


def worker_id(row: TaskExec) -> str:
    """Return what names the worker of an attempt; its own row may have been pruned."""
    return row.worker.label if row.worker else f"#{row.worker_id or '?'}"


def is_error(row: TaskExec) -> bool:
    """Return whether an attempt ended otherwise than well."""
    return row.state in (States.FAILED, States.INTERRUPTED, States.INVALID)


def error_of(framework: Framework, row: TaskExec) -> Any:
    """Return the TaskError of an attempt that did not end well."""
    path = row.error_type or _stand_in(row.state, row.replaced_by_id)
    text = row.error or f"no worker knows the task {row.task_name!r}"
    return framework.TaskError(exception_class_path=path, traceback=text)


def stand_in(framework: Framework, state: str, text: str) -> Any:
    """Return the TaskError of a call that ended without an exception of its own."""
    return framework.TaskError(exception_class_path=_stand_in(state, None), traceback=text)


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


def _class(framework: Framework, task: Any, row: Any) -> Any:
    """Return the class of a result: one that shows no arguments, if any of them is sensitive."""
    sensitive = getattr(task, "sensitive", None)
    if sensitive is None and row is not None:
        # Of a function that is gone, the payload says so.
        sensitive = any(map(is_sensitive, sealed(row)))
    return framework.MaskedTaskResult if sensitive else framework.TaskResult


def _result(framework: Framework, row: Any, **fields: Any) -> Any:
    result_class = _class(framework, fields["task"], row)
    fields = {**NOTHING_YET, "errors": [], "worker_ids": [], **fields}
    try:
        return result_class(backend=fields["task"].backend, **fields)
    except (TypeError, ValueError):
        # Not enqueued through the framework: a schedule's datetime is an argument like any other.
        for name in ("args", "kwargs"):
            fields[name] = shown(fields[name], framework.normalize_json)
    return result_class(backend=fields["task"].backend, **fields)
