"""The rows of workers: register, send heartbeats, stop, and declare dead."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError
from django.db.models import Max, Q, QuerySet

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import WORKERS
from django_toosimple_q.exceptions import NotMigrated
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import (
    BulkRun,
    ConcurrencyKey,
    Dismissal,
    Minute,
    QueueStatus,
    ScheduleExec,
    TaskExec,
    WorkerStatus,
)
from django_toosimple_q.moments import AHEAD, aware
from django_toosimple_q.store.rescue import Rescue, interrupt_where
from django_toosimple_q.store.texts import TASK_NAMES, storable, storable_names
from django_toosimple_q.store.transaction import (
    adapt,
    in_autocommit,
    in_bounded_transaction,
)
from django_toosimple_q.text import clean

BATCH_ROUNDS = 1000
# If no worker has beaten for so long, either none ran or the clock has jumped ahead.
LONG_SILENCE = timedelta(days=1)
LABEL_LENGTH = 255
LENGTHS = {"host": 255, "host_id": 512}
TABLES = (
    TaskExec,
    ScheduleExec,
    WorkerStatus,
    QueueStatus,
    ConcurrencyKey,
    Minute,
    Dismissal,
    BulkRun,
)


class ProcessIdentity(NamedTuple):
    """The process of a worker. A label is not enough, since every container has a pid 1.

    `host_id` identifies the boot and pid namespace in which `pid` is valid, or is "" if unknown.
    """

    incarnation: str
    host: str
    pid: int
    host_id: str


@in_autocommit
def missing_tables(connection: Any) -> list[str]:
    """Return the tables and columns of the queue that the database lacks."""
    missing = []
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for model in TABLES:
            table = model._meta.db_table
            if table not in tables:
                missing.append(f"table {table}")
                continue
            # Django's description of a table also has types and defaults, which take a while.
            cursor.execute(f"SELECT * FROM {table} LIMIT 0")
            has = {column[0] for column in cursor.description}
            wanted = [field.column for field in model._meta.concrete_fields]
            missing += [f"column {table}.{column}" for column in wanted if column not in has]
    return missing


def require_tables() -> None:
    """Raise `NotMigrated` where the database lacks any of them."""
    missing = missing_tables()
    if missing:
        more = f" (nor {len(missing) - 1} more)" if missing[1:] else ""
        raise NotMigrated(f"the database has no {missing[0]}{more}. Run `manage.py migrate` first.")


@in_autocommit
def find(connection: Any, label: str) -> WorkerStatus | None:
    """Return the row with this label, or None."""
    rows = WorkerStatus.objects.using(connection.alias)
    return rows.filter(label=_label(connection, label)).first()


@in_bounded_transaction
def register(
    connection: Any,
    label: str,
    identity: ProcessIdentity,
    settings: Mapping[str, Any],
    now: datetime,
    expected: WorkerStatus | None = None,
) -> tuple[WorkerStatus, list[Rescue]] | None:
    """Register a worker under its label, and return its row and the rows that were rescued.

    `expected` is the abandoned row with that label, as the caller read it. The rows that this
    incarnation still owned are rescued first. Return None if another worker was quicker. The
    caller must then read the row again.
    """
    rows = WorkerStatus.objects.using(connection.alias)
    label = _label(connection, label)
    fields = {
        **_fitting(connection, settings),
        **_fitting(connection, identity._asdict()),
        "started": now,
        "last_tick": now,
        "stopped": None,
        "exit_code": None,
        "exit_log": None,
        "rescued": None,
    }
    latest = rows.aggregate(Max("last_tick"))["last_tick__max"]
    if latest is not None and now - aware(latest) > LONG_SILENCE:
        fields["clock_jumped"] = now
    if expected is None:
        row, created = _get_or_create(rows, label, fields)
        return (row, []) if created else None

    rescued: list[Rescue] = []
    for _ in range(BATCH_ROUNDS):
        batch = interrupt_where(
            connection,
            "state = 'PROCESSING' AND worker_id = %s",
            [expected.pk],
            now,
            f"its worker {label} died and was started again",
        )
        rescued += batch
        if not batch:
            break
    mine = rows.filter(
        pk=expected.pk, incarnation=expected.incarnation, last_tick=expected.last_tick
    ).update(**fields)
    return (rows.get(pk=expected.pk), rescued) if mine else None


def _get_or_create(
    rows: QuerySet[WorkerStatus], label: str, fields: Mapping[str, Any]
) -> tuple[WorkerStatus, bool]:
    """Return the row with a label, and whether it is new.

    After `flush`, PostgreSQL counts ids from 1 again, and workers that live have put theirs back.
    Each attempt uses up one id.
    """
    taken = rows.count()
    while True:
        try:
            return rows.get_or_create(label=label, defaults=fields)
        except IntegrityError:
            if not taken:
                raise
            taken -= 1


def _label(connection: Any, label: str) -> str:
    return storable(connection, clean(label), LABEL_LENGTH)


def _fitting(connection: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be stored of a worker as the columns hold it, its lists in JSON as well."""
    fitting = dict(fields)
    for name, value in fields.items():
        if name == "tasks":
            # No row can have another of them.
            fitting[name] = storable_names(connection, value, TASK_NAMES)
        elif isinstance(value, str):
            fitting[name] = storable(connection, clean(value), LENGTHS.get(name))
        elif isinstance(value, list):
            fitting[name] = [storable(connection, clean(one)) for one in value]
    return fitting


@in_bounded_transaction
def beat(connection: Any, worker_id: int, incarnation: str, now: datetime | None = None) -> bool:
    """Record a heartbeat, by the database's clock unless `now` is given.

    Return False if the worker was declared dead, or if its row was deleted.
    """
    moment, params = database_of(connection).clock(connection)
    if now is not None:
        moment, params = "%s", [adapt(connection, now)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {WORKERS} SET last_tick = {moment} WHERE id = %s AND incarnation = %s"
            " AND stopped IS NULL AND rescued IS NULL",
            [*params, worker_id, incarnation],
        )
        return bool(cursor.rowcount)


@in_bounded_transaction
def restore(connection: Any, worker: WorkerStatus, in_flight: Sequence[int], now: datetime) -> bool:
    """Recreate the deleted row of a living worker, and give it its rows in flight.

    Return False if its row exists, so it was declared dead, or if another worker has its label.
    """
    rows = WorkerStatus.objects.using(connection.alias)
    if rows.filter(Q(pk=worker.pk) | Q(label=worker.label)).exists():
        return False
    worker.last_tick = now
    worker.save(using=connection.alias, force_insert=True)
    ownerless = TaskExec.objects.using(connection.alias).filter(worker=None, state="PROCESSING")
    ownerless.filter(pk__in=in_flight).update(worker=worker.pk)
    return True


@in_bounded_transaction
def stop(
    connection: Any,
    worker_id: int,
    incarnation: str,
    exit_code: int,
    exit_log: str,
    now: datetime,
) -> bool:
    """Record how a worker ended. Return False if the row no longer belongs to it."""
    mine = Q(pk=worker_id, incarnation=incarnation, stopped=None)
    log = storable(connection, clean(exit_log))
    fields = {"stopped": now, "exit_code": exit_code, "exit_log": log, "last_tick": now}
    return WorkerStatus.objects.using(connection.alias).filter(mine).update(**fields) == 1


@in_autocommit
def clock(connection: Any) -> datetime:
    """Return the time by the database's clock."""
    database = database_of(connection)
    moment, params = database.clock(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {moment}", params)
        now: datetime = database.moment(cursor.fetchone()[0])
    return now


@in_autocommit
def mark_clock_jumped(connection: Any, worker_id: int, now: datetime) -> None:
    """Record on a worker's row that the clock has jumped ahead."""
    WorkerStatus.objects.using(connection.alias).filter(pk=worker_id).update(clock_jumped=now)


@in_autocommit
def has_clock_jumped(connection: Any, since: datetime, now: datetime) -> bool:
    """Return whether any worker has recorded a jump of the clock since a moment."""
    rows = WorkerStatus.objects.using(connection.alias)
    return rows.filter(clock_jumped__gte=since, clock_jumped__lte=now + AHEAD).exists()


@in_autocommit
def alive(connection: Any) -> list[WorkerStatus]:
    """Return the rows of workers that have neither stopped nor been declared dead."""
    rows = WorkerStatus.objects.using(connection.alias)
    return list(rows.filter(stopped=None, rescued=None).order_by("pk"))


@in_bounded_transaction
def declare_dead(connection: Any, seen: WorkerStatus, now: datetime) -> bool:
    """Declare a worker dead if it has not beaten since `seen`. Return True to one caller only."""
    unchanged = Q(pk=seen.pk, incarnation=seen.incarnation, last_tick=seen.last_tick)
    silent = Q(last_tick__lt=now - seen.timeout) | Q(last_tick__gt=now + seen.timeout)
    rows = WorkerStatus.objects.using(connection.alias)
    return rows.filter(unchanged, silent, stopped=None, rescued=None).update(rescued=now) == 1


@in_bounded_transaction
def declare_gone(connection: Any, seen: WorkerStatus, now: datetime) -> bool:
    """Declare a worker dead whose process is known to be gone. Return True to one caller only."""
    rows = WorkerStatus.objects.using(connection.alias)
    mine = rows.filter(pk=seen.pk, incarnation=seen.incarnation, stopped=None, rescued=None)
    return mine.update(rescued=now) == 1


def may_begin(
    workers: Sequence[WorkerStatus], claimed: Claimed, refused_by: str, now: datetime
) -> bool:
    """Return whether a live worker among these may begin a call.

    It knows the task, takes the queue, and its code is none of those in `refused_by`.
    """
    return any(
        abs(now - aware(worker.last_tick)) <= worker.timeout + timedelta(seconds=1)
        and claimed.task_name in (worker.tasks or ())
        and claimed.queue not in worker.excluded_queues
        and (not worker.included_queues or claimed.queue in worker.included_queues)
        and f",{worker.code_version}," not in refused_by
        for worker in workers
    )
