"""The no-op task of this repository's queue, and one that a schedule queues every second."""

import os
import time

from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.models import TaskExec
from peers.ledger import note, work


@register_task(name="noop", atomic=bool(os.environ.get("BENCH_ATOMIC")))
def noop(number):
    note(number)


if os.environ.get("BENCH_CRON"):

    @schedule_task(cron="* * * * * *", datetime_kwarg="occurrence")
    @register_task(name="every_second")
    def every_second(occurrence):
        """Record its second, and how late it is in nanoseconds."""
        second = int(occurrence.timestamp())
        note(second, time.time_ns() - second * 1_000_000_000)


if os.environ.get("BENCH_ADMIN"):
    from peers.ours import shop  # noqa: F401  (registers its tasks)


@register_task(name="mixed")
def mixed(number, milliseconds):
    work(number, milliseconds)


def queue_work(number, milliseconds, urgent=False):
    (mixed.using(priority=10) if urgent else mixed).queue(number, milliseconds)


def queue(number):
    noop.queue(number)


def fill(numbers):
    noop.queue_many((number,) for number in numbers)


def left():
    return TaskExec.objects.filter(state__in=TaskExec.States.todo()).count()


def finished():
    return TaskExec.objects.filter(state=TaskExec.States.SUCCEEDED).count()
