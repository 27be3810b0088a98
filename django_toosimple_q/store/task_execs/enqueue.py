"""Put rows into the table: new calls, and the rows that follow others."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from django_toosimple_q import payload
from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.execution import Claimed
from django_toosimple_q.fields import Stored
from django_toosimple_q.models import TaskExec
from django_toosimple_q.notify import announce, sender
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.step import adapt, queue_connection, statement, step
from django_toosimple_q.task import Task, resolve_due, stored_datetime
from django_toosimple_q.unique import unique_hash

States = TaskExec.States

COLUMNS = (
    *("task_name", "args", "kwargs", "queue", "priority", "retries", "retry_delay", "due"),
    *("created", "state", "attempt", "root_id", "deaths", "unique_key", "unique_hash", "alone"),
    *("timeout", "expires", "lane", "hold", "stdout", "stderr"),
)
GONE_WRONG = (States.FAILED, States.INTERRUPTED, States.INVALID)
DATETIMES = frozenset({"due", "created", "expires"})
FIELDS = [field.attname for field in TaskExec._meta.concrete_fields]
BLANK = {field.attname: field.get_default() for field in TaskExec._meta.concrete_fields}
ROWS_PER_STATEMENT = 250


def enqueue(
    task: Task[Any, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    due: datetime | None = None,
) -> TaskExec:
    """Store a call and return its row, or the row that waits already when the task is unique."""
    row = insert_one(new_row(task, args, kwargs, due=due, now=timezone.now()))
    tell_workers()
    return row


def enqueue_many(
    task: Task[Any, Any],
    calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    *,
    due: datetime | None = None,
) -> list[TaskExec]:
    """Store many calls in one transaction and return their rows in order."""
    now = timezone.now()
    rows = [new_row(task, args, kwargs, due=due, now=now) for args, kwargs in calls]
    if not rows:
        return []
    rows = insert_rows(rows)
    tell_workers()
    return rows


def tell_workers() -> None:
    """Send a hint that there are new rows, once the caller's transaction has committed."""
    connection = queue_connection()
    announce(connection, sender(dialect_of(connection).family))


def requeue(old: TaskExec, now: datetime) -> TaskExec:
    """Queue the same call again as a new row; the old one stays as it is.

    When it did not go well and nothing followed, the new one follows: who waits for the call, or
    looks for what went wrong, sees that somebody saw to it. Raises `InvalidArguments` when the old
    row's payload cannot be read.
    """
    row = _requeue(old, now)
    tell_workers()
    return row


@step
def _requeue(connection: Any, old: TaskExec, now: datetime) -> TaskExec:
    for name in ("args", "kwargs"):
        value = getattr(old, name)
        if isinstance(value, payload.Unreadable):
            raise InvalidArguments(f"task {old.pk} cannot be queued again: {value}.")
    task = old.task
    rows = TaskExec.objects.using(connection.alias)
    ends = rows.select_for_update().filter(pk=old.pk, replaced_by=None, state__in=GONE_WRONG)
    # An INVALID row that is not finished may run yet, when a worker comes that knows its task.
    follows = ends.exclude(finished=None).first() is not None
    row = TaskExec(
        task_name=old.task_name,
        args=_sealed(old, "args"),
        kwargs=_sealed(old, "kwargs"),
        queue=old.queue,
        priority=old.priority,
        retries=task.retries if task else old.retries,
        retry_delay=task.retry_delay if task else old.retry_delay,
        due=now,
        created=now,
        unique_hash=old.unique_hash,
        unique_key=old.unique_hash or None,
        alone=task.claimed_alone if task else bool(old.unique_hash),
        timeout=old.timeout,
        lane=task.lane if task else old.lane,
        hold=task.holds if task else old.hold,
        attempt=old.attempt + 1 if follows else 1,
        root_id=(old.root_id or old.pk) if follows else None,
    )
    [new] = _insert(connection, [row])
    if follows:
        rows.filter(pk=old.pk).update(replaced_by=new)
    return new


@step
def insert_rows(connection: Any, rows: Sequence[TaskExec]) -> list[TaskExec]:
    """Insert rows in one transaction; see `_insert`."""
    return _insert(connection, rows)


@statement
def insert_one(connection: Any, row: TaskExec) -> TaskExec:
    """Insert a row by one statement; see `_insert`."""
    return _insert(connection, [row])[0]


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
    due = resolve_due(due if due is not None else task.due)
    identity = ""
    if task.unique_by is not None:
        identity = unique_hash(task.name, {"unique_by": task.unique_by(*args, **kwargs)})
    elif task.unique:
        bound.apply_defaults()
        identity = unique_hash(task.name, bound.arguments)
    return _row(
        task_name=task.name,
        args=_seal(task, "args", list(args)),
        kwargs=_seal(task, "kwargs", dict(kwargs)),
        queue=task.queue_name,
        priority=task.priority,
        retries=task.retries,
        retry_delay=task.retry_delay,
        due=due or now,
        created=now,
        state=state or (States.QUEUED if due is None else States.SLEEPING),
        unique_key=identity or None,
        unique_hash=identity,
        alone=task.claimed_alone,
        timeout=task.timeout,
        lane=task.lane,
        hold=task.holds,
        expires=_expiry(task.expires, now),
    )


def successor(
    claimed: Claimed,
    *,
    now: datetime,
    delay_seconds: float = 0,
    retries: int,
    retry_delay: int,
    deaths: int,
) -> TaskExec:
    """Return the unsaved row that follows another: same call, same stored bytes, next attempt."""
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
        state=States.SLEEPING,
        attempt=claimed.attempt + 1,
        root_id=claimed.root_id or claimed.pk,
        deaths=deaths,
        unique_key=claimed.unique_hash or None,
        unique_hash=claimed.unique_hash,
        alone=claimed.alone or deaths > 0,
        timeout=claimed.timeout,
        lane=claimed.lane,
        hold=claimed.hold,
        expires=claimed.expires,
    )


def _row(**values: Any) -> TaskExec:
    """Return an unsaved row. Django takes values by position in a third of the time."""
    given = BLANK | values
    by_position: Callable[..., TaskExec] = TaskExec
    return by_position(*[given[name] for name in FIELDS])


def _insert(connection: Any, rows: Sequence[TaskExec]) -> list[TaskExec]:
    """Insert rows; return, in order, each one or the waiting row that it was merged into."""
    plain = [row for row in rows if row.unique_key is None]
    for start in range(0, len(plain), ROWS_PER_STATEMENT):
        _insert_batch(connection, plain[start : start + ROWS_PER_STATEMENT], merge=False)
    if len(plain) == len(rows):
        return list(rows)

    # By key: two transactions that insert the same keys in opposite orders would deadlock. Once
    # each: a statement cannot merge into a row of its own.
    by_key = {row.unique_key: row for row in reversed(rows) if row.unique_key is not None}
    unique = [by_key[key] for key in sorted(by_key)]
    waiting: dict[str, TaskExec] = {}
    for start in range(0, len(unique), ROWS_PER_STATEMENT):
        batch = unique[start : start + ROWS_PER_STATEMENT]
        keys = [str(row.unique_key) for row in batch]
        waiting.update(zip(keys, _insert_batch(connection, batch, merge=True), strict=True))
    return [row if row.unique_hash == "" else waiting[row.unique_hash] for row in rows]


def _insert_batch(connection: Any, rows: Sequence[TaskExec], *, merge: bool) -> list[TaskExec]:
    values = [_values(connection, row) for row in rows]
    inserted = dialect_of(connection).insert(connection, COLUMNS, values, merge=merge)
    stored = []
    for row, (pk, is_new) in zip(rows, inserted, strict=True):
        row.pk = pk
        row._state.adding = False
        row._state.db = connection.alias
        stored.append(row if is_new else _waiting_row(connection, row))
    return stored


def _waiting_row(connection: Any, row: TaskExec) -> TaskExec:
    # A MariaDB snapshot from before the other caller's commit may not show it: then what we know
    # of it (its id, its arguments) is what the caller gets.
    return TaskExec.objects.using(connection.alias).filter(pk=row.pk).first() or row


def _values(connection: Any, row: TaskExec) -> list[Any]:
    raw = row.__dict__
    values = [raw[column] for column in COLUMNS]
    for index, column in enumerate(COLUMNS):
        if column in DATETIMES:
            values[index] = adapt(connection, values[index])
    values[1], values[2] = values[1].text, values[2].text
    return values


def _seal(task: Task[Any, Any], field: str, value: Any) -> Stored:
    try:
        return Stored(payload.seal(value, field, task.name))
    except Exception as error:  # pickling runs the code of user classes
        raise InvalidArguments(
            f"task {task.name!r} cannot store {_culprit(value)}: {type(error).__name__}: {error}. "
            "Pass what can be pickled, such as an id, and look the object up in the task."
        ) from error


def _culprit(value: Any) -> str:
    """Name the first argument that cannot be pickled."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        try:
            payload.seal(item, "", "")
        except Exception:
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
        return now + expires
    return None if expires is None else stored_datetime(expires)
