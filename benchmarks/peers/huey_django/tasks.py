"""The no-op task of Huey."""

from huey.contrib.djhuey import HUEY, task

from peers.ledger import note


@task()
def noop(number):
    note(number)


def queue(number):
    noop(number)


def fill(numbers):
    for number in numbers:  # on a connection outside Django's transactions
        noop(number)


def left():
    return HUEY.storage.queue_size()


def finished():
    return None
