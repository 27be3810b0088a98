"""The no-op task of Huey."""

from huey.contrib.djhuey import HUEY, task

from peers.ledger import note, work


@task()
def noop(number):
    note(number)


@task()
def mixed(number, milliseconds):
    work(number, milliseconds)


def queue_work(number, milliseconds, urgent=False):
    mixed(number, milliseconds, priority=100 if urgent else 0)


def queue(number):
    noop(number)


def fill(numbers):
    for number in numbers:  # on a connection outside Django's transactions
        noop(number)


def left():
    return HUEY.storage.queue_size()


def finished():
    return None
