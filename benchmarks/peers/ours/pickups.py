"""Queue calls for an idle worker, and record when each was committed."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store import schedule_execs, task_execs
from django_toosimple_q.store.enqueue import new_row
from django_toosimple_q.store.schedule_execs import DueSchedule
from peers.ours.tasks import noop

# A worker is attentive for 0.2 s after a hint: it must have gone back to sleep.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.3, 0.6


def run(count: int, way: str = "call") -> list[int]:
    """Queue the calls 1 … count and return the monotonic clock at each commit, in nanoseconds."""
    commits: list[int] = []
    queue = WAYS[way]()
    for number in range(1, count + 1):
        time.sleep(random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
        with transaction.atomic():
            # Before the hint, which the call has planned.
            transaction.on_commit(lambda: commits.append(time.monotonic_ns()))
            queue(number)
    return commits


def by_call() -> Callable[[int], object]:
    """Return how a caller queues."""
    return noop.queue


def by_schedule() -> Callable[[int], object]:
    """Return how another worker queues an occurrence."""
    hourly = Schedule(task=noop.task, name="hourly", cron="0 * * * *", args=(0,))
    began = datetime(2026, 1, 1, tzinfo=timezone.get_current_timezone())
    schedule_execs.sync([hourly], [hourly.name], began)

    def advance(number: int) -> None:
        last, occurrence = (began + timedelta(hours=number - 1), began + timedelta(hours=number))
        due = DueSchedule(replace(hourly, args=(number,)), last, [occurrence])
        if not schedule_execs.advance([due], timezone.now()).queued:
            raise RuntimeError(f"the schedule has not been at {last}.")

    return advance


def by_hand() -> Callable[[int], object]:
    """Return how the admin runs a schedule."""
    hourly = Schedule(task=noop.task, name="hourly", cron="0 * * * *", args=(0,))
    schedule_execs.sync([hourly], [hourly.name], timezone.now())
    return lambda number: schedule_execs.force(replace(hourly, args=(number,)), timezone.now())


def by_rescue() -> Callable[[int], object]:
    """Return how another worker replaces what a killed one ran."""
    now = timezone.now()
    killed = WorkerStatus.objects.create(label="killed", last_tick=now, started=now, rescued=now)

    def rescue(number: int) -> None:
        now = timezone.now()
        row = new_row(noop.task, (number,), {}, due=None, now=now, state="PROCESSING")
        row.worker_id, row.started = killed.pk, now
        row.save()
        if [one.task_id for one in task_execs.rescue(now)] != [row.pk]:
            raise RuntimeError("not one row was rescued.")

    return rescue


WAYS = {"call": by_call, "schedule": by_schedule, "hand": by_hand, "rescue": by_rescue}
