"""The no-op task of this repository's queue."""

import os

from django_toosimple_q.decorators import register_task
from django_toosimple_q.models import TaskExec
from peers.ledger import note


@register_task(name="noop", atomic=bool(os.environ.get("BENCH_ATOMIC")))
def noop(number):
    note(number)


def queue(number):
    noop.queue(number)


def fill(numbers):
    noop.queue_many((number,) for number in numbers)


def left():
    return TaskExec.objects.filter(state__in=TaskExec.States.todo()).count()


def finished():
    return TaskExec.objects.filter(state=TaskExec.States.SUCCEEDED).count()
