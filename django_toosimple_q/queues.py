"""Pause queues, and let them go on.

from django_toosimple_q import queues

queues.pause("mail")  # the mail server is down
"""

from datetime import datetime

from django.utils import timezone

from django_toosimple_q.store import queues
from django_toosimple_q.store.task_execs.enqueue import tell_workers
from django_toosimple_q.task import check_name


def pause(name: str) -> bool:
    """Let no further call of this queue start, on any worker; False when it is paused already.

    What runs ends as usual, and so do the few calls that a worker has claimed already. Calls and
    schedules go on filling the queue. Raises `InvalidDefinition` for what is no name.
    """
    check_name(name, "the name of a queue")
    return queues.pause(name, timezone.now())


def resume(name: str) -> bool:
    """Let a paused queue go on; False when it was not paused."""
    resumed = queues.resume(name)
    tell_workers()
    return resumed


def paused() -> dict[str, datetime]:
    """Return the paused queues, and since when each is."""
    return {row.name: row.paused for row in queues.every() if row.paused is not None}
