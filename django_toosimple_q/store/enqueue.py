"""Make the rows of calls: new ones, replacements, and calls queued again."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError

from django_toosimple_q import code_version, payload
from django_toosimple_q.arguments import arguments_preview
from django_toosimple_q.exceptions import InvalidArguments, NoReference, kind_of, said
from django_toosimple_q.execution import Claimed
from django_toosimple_q.fields import Stored
from django_toosimple_q.masking import arguments_of, masked
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import aware, current_moment, project_datetime, resolve_due
from django_toosimple_q.store.insert import add, add_many, add_one
from django_toosimple_q.store.texts import TASK_NAMES, TASK_QUEUES, refuse_unstorable
from django_toosimple_q.store.transaction import (
    in_transaction,
    queue_connection,
    refuse_unmigrated,
)
from django_toosimple_q.task import Task
from django_toosimple_q.unique import unique_hash

States = TaskExec.States

GONE_WRONG = (States.FAILED, States.INTERRUPTED, States.INVALID)
FIELDS = [field.attname for field in TaskExec._meta.concrete_fields]
BLANK = {field.attname: field.get_default() for field in TaskExec._meta.concrete_fields}


def enqueue(
    task: Task[Any, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    due: datetime | None = None,
) -> TaskExec:
    """Store a call and return its row, or the row that waits already when the task is unique.

    Raises `NotMigrated` when the queue's tables are missing or older than this code, and
    `UnstorableName` when the database cannot hold the name of the task or of its queue.
    """
    try:
        return add_one(new_row(task, args, kwargs, due=due, now=current_moment()))
    except DatabaseError as error:
        refuse_unmigrated(error)
        _refuse_names(task, error)
        raise


def enqueue_many(
    task: Task[Any, Any],
    calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    *,
    due: datetime | None = None,
) -> list[TaskExec]:
    """Store many calls in one transaction and return their rows in order; see `enqueue`."""
    now = current_moment()
    rows = [new_row(task, args, kwargs, due=due, now=now) for args, kwargs in calls]
    try:
        return add_many(rows) if rows else []
    except DatabaseError as error:
        refuse_unmigrated(error)
        _refuse_names(task, error)
        raise


def _refuse_names(task: Task[Any, Any], error: DatabaseError) -> None:
    """Raise `UnstorableName` in place of an error about the name of a task or its queue."""
    connection = queue_connection()
    refuse_unstorable(connection, task.name, TASK_NAMES, error)
    refuse_unstorable(connection, task.queue_name, TASK_QUEUES, error)


@in_transaction
def requeue(connection: Any, old: TaskExec, now: datetime) -> TaskExec:
    """Queue the same call again as a new row; the old one stays as it is.

    When the old call went wrong and has no replacement, the new row becomes its replacement, so
    callers that wait for it, and people who look for failures, see that it was queued again.
    Raises `InvalidArguments` when the old row's payload cannot be read.
    """
    rows = TaskExec.objects.using(connection.alias)
    ends = rows.select_for_update().filter(pk=old.pk, replaced_by=None, state__in=GONE_WRONG)
    found = ends.only("state", "replaced_by", "started", "finished").first()
    replaces = found is not None and may_be_replaced(found)
    row = row_again(old, now, replaces=replaces)
    [new] = add(connection, [row])
    if replaces:
        rows.filter(pk=old.pk).update(replaced_by=new)
    return new


def may_be_replaced(row: TaskExec) -> bool:
    """Return whether a call went wrong for good, and nothing has followed it yet.

    An INVALID row that has not started may still run, when a worker starts that knows its task.
    """
    ended = row.started is not None or row.finished is not None
    return row.state in GONE_WRONG and row.replaced_by_id is None and ended


def row_again(old: TaskExec, now: datetime, *, replaces: bool) -> TaskExec:
    """Return the unsaved row of the same call, due now, with the options that its task has now.

    Raises `InvalidArguments` when the old row's payload cannot be read.
    """
    for name in ("args", "kwargs"):
        value = getattr(old, name)
        if isinstance(value, payload.Unreadable):
            raise InvalidArguments(f"task {old.pk} cannot be queued again: {value}.")
    task = old.task
    return TaskExec(
        task_name=old.task_name,
        args=_sealed(old, "args"),
        kwargs=_sealed(old, "kwargs"),
        queue=old.queue,
        priority=old.priority,
        retries=task.retries if task else old.retries,
        retry_delay=task.retry_delay if task else old.retry_delay,
        due=project_datetime(now),
        created=project_datetime(now),
        unique_hash=old.unique_hash,
        unique_key=old.unique_hash or None,
        exclusive=task.exclusive if task else bool(old.unique_hash),
        timeout=old.timeout,
        concurrency_key=task.concurrency_key if task else old.concurrency_key,
        hold=task.holds if task else old.hold,
        code_version=old.code_version,
        # The code may call an argument sensitive since.
        arguments_preview=arguments_preview(*arguments_of(old))
        if task and task.sensitive
        else old.arguments_preview,
        attempt=old.attempt + 1 if replaces else 1,
        root_id=(old.root_id or old.pk) if replaces else None,
    )


def new_row(
    task: Task[Any, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    due: datetime | None,
    now: datetime,
    state: str | None = None,
) -> TaskExec:
    """Return the unsaved row of a call. Raises as `Task.queue` does."""
    bound = task.bind(tuple(args), kwargs)
    due, created = resolve_due(due if due is not None else task.due), project_datetime(now)
    identity = ""
    compared = None
    if task.unique_by is not None:
        compared = {"unique_by": task.unique_by(*args, **kwargs)}
    elif task.unique:
        bound.apply_defaults()
        compared = bound.arguments
    if compared is not None:
        identity = unique_hash(task.name, compared, sensitive=bool(task.sensitive))
    seal = _seal_sensitive if task.sensitive else _seal
    return _row(
        task_name=task.name,
        args=seal(task, "args", list(args)),
        kwargs=seal(task, "kwargs", dict(kwargs)),
        queue=task.queue_name,
        priority=task.priority,
        retries=task.retries,
        retry_delay=task.retry_delay,
        due=due or created,
        created=created,
        state=state or (States.QUEUED if due is None else States.SLEEPING),
        unique_key=identity or None,
        unique_hash=identity,
        exclusive=task.exclusive,
        timeout=task.timeout,
        concurrency_key=task.concurrency_key,
        hold=task.holds,
        expires=_expiry(task.expires, now),
        code_version=code_version.own(),
        arguments_preview=arguments_preview(*masked(task, args, kwargs)),
    )


def replacement_of(
    claimed: Claimed,
    *,
    now: datetime,
    delay_seconds: float = 0,
    retries: int,
    retry_delay: int,
    crash_count: int,
) -> TaskExec:
    """Return the unsaved row that replaces another: same call, same stored bytes, next attempt.

    Without a delay it is QUEUED, so that the next claim finds it.
    """
    return _row(
        task_name=claimed.task_name,
        args=Stored(claimed.args),
        kwargs=Stored(claimed.kwargs),
        queue=claimed.queue,
        priority=claimed.priority,
        retries=retries,
        retry_delay=retry_delay,
        due=now + timedelta(seconds=delay_seconds),
        created=now,
        state=States.SLEEPING if delay_seconds > 0 else States.QUEUED,
        attempt=claimed.attempt + 1,
        root_id=claimed.root_id or claimed.pk,
        crash_count=crash_count,
        unique_key=claimed.unique_hash or None,
        unique_hash=claimed.unique_hash,
        exclusive=claimed.exclusive or crash_count > 0,
        timeout=claimed.timeout,
        concurrency_key=claimed.concurrency_key,
        hold=claimed.hold,
        expires=claimed.expires,
        code_version=claimed.code_version,
        refused_by=claimed.refused_by,
        arguments_preview=claimed.arguments_preview,
        trace_context=claimed.trace_context,
    )


def _row(**values: Any) -> TaskExec:
    """Return an unsaved row. Django takes values by position in a third of the time."""
    given = BLANK | values
    by_position: Callable[..., TaskExec] = TaskExec
    return by_position(*[given[name] for name in FIELDS])


def _seal(task: Task[Any, Any], field: str, value: Any) -> Stored:
    try:
        return Stored(payload.seal(value, field, task.name))
    except NoReference as error:
        raise InvalidArguments(
            f"task {task.name!r} cannot store {_culprit(value)}: {error}."
        ) from error
    except (Exception, SystemExit) as error:  # pickling runs the code of user classes
        raise InvalidArguments(
            f"task {task.name!r} cannot store {_culprit(value)}: {said(error)}. "
            "Pass what can be pickled, such as an id, and load the object in the task."
        ) from error


def _seal_sensitive(task: Task[Any, Any], field: str, value: Any) -> Stored:
    try:
        return Stored(payload.seal(value, field, task.name, sensitive=True))
    except (Exception, SystemExit) as error:  # as in _seal; the text may quote a value
        reason = kind_of(error)
        if isinstance(error, NoReference):  # it names the model only
            reason = str(error)
    # Outside of the block: an error in the context of another is reported with it.
    raise InvalidArguments(
        f"task {task.name!r} cannot store {_culprit(value)}: {reason}. "
        "Pass what can be pickled, such as an id, and load the object in the task."
    )


def _culprit(value: Any) -> str:
    """Name the first argument that cannot be pickled."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        try:
            payload.seal(item, "", "")
        except (Exception, SystemExit):
            what = f"{name!r}" if isinstance(value, dict) else f"number {name + 1}"
            return f"its argument {what}, {type(item).__module__}.{type(item).__qualname__}"
    return "its arguments"


def _sealed(row: TaskExec, name: str) -> Stored:
    stored = row.__dict__.get(name)
    if isinstance(stored, Stored):
        return stored
    return Stored(payload.seal(getattr(row, name), name, row.task_name))


def _expiry(expires: datetime | timedelta | None, now: datetime) -> datetime | None:
    if isinstance(expires, timedelta):
        return project_datetime(aware(now) + expires)
    return None if expires is None else project_datetime(expires)
