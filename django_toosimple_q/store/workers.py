"""The workers' rows: register, beat, stop, and tell who is dead."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q

from django_toosimple_q.models import Lane, QueueStatus, ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.dialect.base import WORKERS
from django_toosimple_q.store.step import adapt, statement, step
from django_toosimple_q.store.task_execs.rescue import Rescue, interrupt_where

BATCH_ROUNDS = 1000


class Identity(NamedTuple):
    """Which process a worker is: a label alone does not tell, every container has a pid 1.

    `place` is where the pid counts, or "" where that cannot be told.
    """

    incarnation: str
    host: str
    pid: int
    place: str


@statement
def missing_tables(connection: Any) -> list[str]:
    """Return the tables and columns of the queue that the database does not have."""
    missing = []
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for model in (TaskExec, ScheduleExec, WorkerStatus, QueueStatus, Lane):
            table = model._meta.db_table
            if table not in tables:
                missing.append(f"table {table}")
                continue
            found = connection.introspection.get_table_description(cursor, table)
            has = {column.name for column in found}
            wanted = [field.column for field in model._meta.concrete_fields]
            missing += [f"column {table}.{column}" for column in wanted if column not in has]
    return missing


@statement
def find(connection: Any, label: str) -> WorkerStatus | None:
    """Return the row under a label, or None."""
    return WorkerStatus.objects.using(connection.alias).filter(label=label).first()


@step
def register(
    connection: Any,
    label: str,
    identity: Identity,
    settings: Mapping[str, Any],
    now: datetime,
    expected: WorkerStatus | None = None,
) -> tuple[WorkerStatus, list[Rescue]] | None:
    """Enter a worker under its label, and return its row and what it took over.

    `expected` is the row under that label as the caller saw it and found it abandoned; what that
    incarnation still held is rescued first. None when somebody else was quicker: look again.
    """
    rows = WorkerStatus.objects.using(connection.alias)
    fields = {
        **settings,
        **identity._asdict(),
        "started": now,
        "last_tick": now,
        "stopped": None,
        "exit_code": None,
        "exit_log": None,
        "rescued": None,
    }
    if expected is None:
        row, created = rows.get_or_create(label=label, defaults=fields)
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


@statement
def beat(connection: Any, worker_id: int, incarnation: str, now: datetime | None = None) -> bool:
    """Say that a worker is alive, by the database's clock unless `now` is given.

    False means that it was declared dead, or that its row was deleted.
    """
    moment, params = dialect_of(connection).clock(connection)
    if now is not None:
        moment, params = "%s", [adapt(connection, now)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {WORKERS} SET last_tick = {moment} WHERE id = %s AND incarnation = %s"
            " AND stopped IS NULL AND rescued IS NULL",
            [*params, worker_id, incarnation],
        )
        return bool(cursor.rowcount)


@step
def restore(connection: Any, worker: WorkerStatus, held: Sequence[int], now: datetime) -> bool:
    """Put the row of a living worker back that somebody deleted, and give it the rows it holds.

    False when its row is there, so that it was declared dead, or when another has its label.
    """
    rows = WorkerStatus.objects.using(connection.alias)
    if rows.filter(Q(pk=worker.pk) | Q(label=worker.label)).exists():
        return False
    worker.last_tick = now
    worker.save(using=connection.alias, force_insert=True)
    ownerless = TaskExec.objects.using(connection.alias).filter(worker=None, state="PROCESSING")
    ownerless.filter(pk__in=held).update(worker=worker.pk)
    return True


@statement
def stop(
    connection: Any,
    worker_id: int,
    incarnation: str,
    exit_code: int,
    exit_log: str,
    now: datetime,
) -> bool:
    """Write how a worker ended; False when the row is no longer its own."""
    mine = Q(pk=worker_id, incarnation=incarnation, stopped=None)
    fields = {"stopped": now, "exit_code": exit_code, "exit_log": exit_log, "last_tick": now}
    return WorkerStatus.objects.using(connection.alias).filter(mine).update(**fields) == 1


@statement
def clock(connection: Any) -> datetime:
    """Return the time by the database's clock."""
    dialect = dialect_of(connection)
    moment, params = dialect.clock(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {moment}", params)
        now: datetime = dialect.moment(connection, cursor.fetchone()[0])
    return now


@statement
def alive(connection: Any) -> list[WorkerStatus]:
    """Return the rows of workers that neither stopped nor were declared dead."""
    rows = WorkerStatus.objects.using(connection.alias)
    return list(rows.filter(stopped=None, rescued=None).order_by("pk"))


@statement
def declare_dead(connection: Any, seen: WorkerStatus, now: datetime) -> bool:
    """Declare a worker dead that has not beaten since it was `seen`; True for one caller only."""
    unchanged = Q(pk=seen.pk, incarnation=seen.incarnation, last_tick=seen.last_tick)
    stale = Q(last_tick__lt=now - seen.timeout)
    rows = WorkerStatus.objects.using(connection.alias)
    return rows.filter(unchanged, stale, stopped=None, rescued=None).update(rescued=now) == 1


@statement
def declare_gone(connection: Any, seen: WorkerStatus, now: datetime) -> bool:
    """Declare a worker dead whose process is known to be gone; True for one caller only."""
    rows = WorkerStatus.objects.using(connection.alias)
    mine = rows.filter(pk=seen.pk, incarnation=seen.incarnation, stopped=None, rescued=None)
    return mine.update(rescued=now) == 1


def knows(workers: Sequence[WorkerStatus], name: str, now: datetime) -> bool:
    """Tell whether one of the workers, if alive, knows a task of this name."""
    return any(
        worker.last_tick >= now - worker.timeout - timedelta(seconds=1)
        and name in (worker.tasks or ())
        for worker in workers
    )
