"""Queues: which exist, which are paused, and how many calls wait and run in each."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django_toosimple_q.models import QueueStatus, TaskExec
from django_toosimple_q.store.insert import announce_work
from django_toosimple_q.store.texts import QUEUE_NAMES, refuse_unstorable, storable_names
from django_toosimple_q.store.transaction import (
    in_autocommit,
    in_bounded_transaction,
    in_transaction,
)

States = TaskExec.States

# A queue may hold millions of calls, so counting stops here.
WAITING_COUNTED = 10_000


@in_bounded_transaction
def ensure(connection: Any, names: Collection[str]) -> None:
    """Make sure that each of these queues has a row, so that it can be seen and paused."""
    rows = QueueStatus.objects.using(connection.alias)
    names = storable_names(connection, names, QUEUE_NAMES)
    missing = set(names) - set(rows.filter(name__in=names).values_list("name", flat=True))
    if missing:
        new = [QueueStatus(name=name) for name in sorted(missing)]
        rows.bulk_create(new, ignore_conflicts=True)


@in_transaction
def pause(connection: Any, name: str, now: datetime) -> bool:
    """Stop claims from a queue. Return False if it was already paused.

    Raises `UnstorableName` if the database cannot hold its name.
    """
    refuse_unstorable(connection, name, QUEUE_NAMES)
    rows = QueueStatus.objects.using(connection.alias)
    rows.bulk_create([QueueStatus(name=name)], ignore_conflicts=True)
    return bool(rows.filter(name=name, paused=None).update(paused=now))


@in_transaction
def resume(connection: Any, name: str) -> bool:
    """Allow claims from a queue again. Return False if it was not paused."""
    rows = QueueStatus.objects.using(connection.alias)
    resumed = bool(rows.filter(name=name, paused__isnull=False).update(paused=None))
    announce_work(connection)
    return resumed


@in_autocommit
def known(connection: Any) -> list[QueueStatus]:
    """Return the queues that have a row, by name."""
    return list(QueueStatus.objects.using(connection.alias).order_by("name"))


@in_autocommit
def waiting(connection: Any, name: str) -> int:
    """Return how many calls in a queue wait to be claimed, at most `WAITING_COUNTED`."""
    rows = TaskExec.objects.using(connection.alias).filter(state=States.QUEUED, queue=name)
    # The order is that of the claim's index, so that the planner uses it.
    rows = rows.order_by("concurrency_key", "-priority", "due", "pk")
    return int(rows.values("pk")[:WAITING_COUNTED].count())


@in_autocommit
def running(connection: Any, name: str) -> int:
    """Return how many calls of a queue are claimed or running."""
    rows = TaskExec.objects.using(connection.alias).filter(state=States.PROCESSING, queue=name)
    return rows.count()
