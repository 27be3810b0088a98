"""Queues as such: which there are, which are paused, how much waits in each."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django_toosimple_q.models import QueueStatus, TaskExec
from django_toosimple_q.store.step import statement, step

States = TaskExec.States

# A queue may hold millions; nobody needs to know exactly how many.
WAITING_COUNTED = 10_000


@step
def note(connection: Any, names: Collection[str]) -> None:
    """Keep a row for each of these queues, so that people can see and pause it."""
    rows = QueueStatus.objects.using(connection.alias)
    missing = set(names) - set(rows.filter(name__in=names).values_list("name", flat=True))
    if missing:
        new = [QueueStatus(name=name) for name in sorted(missing)]
        rows.bulk_create(new, ignore_conflicts=True)


@step
def pause(connection: Any, name: str, now: datetime) -> bool:
    """Let nothing more be claimed from a queue; False when that is so already."""
    rows = QueueStatus.objects.using(connection.alias)
    rows.bulk_create([QueueStatus(name=name)], ignore_conflicts=True)
    return bool(rows.filter(name=name, paused=None).update(paused=now))


@step
def resume(connection: Any, name: str) -> bool:
    """Let a queue be worked again; False when it was not paused."""
    rows = QueueStatus.objects.using(connection.alias)
    return bool(rows.filter(name=name, paused__isnull=False).update(paused=None))


@statement
def every(connection: Any) -> list[QueueStatus]:
    """Return the queues that anybody has noted, by name."""
    return list(QueueStatus.objects.using(connection.alias).order_by("name"))


@statement
def waiting(connection: Any, name: str) -> int:
    """Return how many calls wait in a queue to be claimed, counted to `WAITING_COUNTED`."""
    rows = TaskExec.objects.using(connection.alias).filter(state=States.QUEUED, queue=name)
    # In the order of the claim's index, so that no other plan is tempting.
    rows = rows.order_by("lane", "-priority", "due", "pk")
    return int(rows.values("pk")[:WAITING_COUNTED].count())


@statement
def running(connection: Any, name: str) -> int:
    """Return how many calls of a queue are claimed or run."""
    rows = TaskExec.objects.using(connection.alias).filter(state=States.PROCESSING, queue=name)
    return rows.count()
