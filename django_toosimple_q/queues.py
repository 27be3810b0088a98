"""Pause queues, and resume them.

from django_toosimple_q import queues

queues.pause("mail")  # the mail server is down
"""

from datetime import datetime

from django_toosimple_q.moments import current_moment
from django_toosimple_q.task_options import check_name

# The store is imported inside: tasks.py may be imported before the models are ready.


def pause(name: str) -> bool:
    """Start no further call of this queue, on any worker; False when it is paused already.

    Running calls end as usual, and so do the few calls that a worker has claimed already. Calls
    and schedules go on filling the queue. Raises `InvalidDefinition` for a name that no queue can
    have.
    """
    from django_toosimple_q.store import queues

    check_name(name, "the name of a queue")
    return queues.pause(name, current_moment())


def resume(name: str) -> bool:
    """Start the calls of a paused queue again; False when it was not paused."""
    from django_toosimple_q.store import queues

    return queues.resume(name)


def paused() -> dict[str, datetime]:
    """Return the paused queues, and since when each is paused."""
    from django_toosimple_q.store import queues

    return {row.name: row.paused for row in queues.known() if row.paused is not None}
