"""The no-op task of Procrastinate, as a plain function and as a coroutine."""

import os

from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from peers.ledger import note, work


@app.task
def plain(number):
    note(number)


@app.task
async def coroutine(number):
    note(number)


noop = coroutine if os.environ.get("BENCH_COROUTINE") else plain


@app.task
def mixed(number, milliseconds):
    work(number, milliseconds)


def queue_work(number, milliseconds, urgent=False):
    mixed.configure(priority=100 if urgent else 0).defer(number=number, milliseconds=milliseconds)


def queue(number):
    noop.defer(number=number)


def fill(numbers):
    noop.batch_defer(*({"number": number} for number in numbers))


def left():
    return ProcrastinateJob.objects.filter(status__in=["todo", "doing"]).count()


def finished():
    return ProcrastinateJob.objects.filter(status="succeeded").count()
