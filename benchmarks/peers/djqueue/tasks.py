"""The no-op task of dj-queue."""

from dj_queue.models import ClaimedExecution, Job, ReadyExecution
from django.tasks import task

from peers.ledger import note, work


@task
def noop(number):
    note(number)


@task
def mixed(number, milliseconds):
    work(number, milliseconds)


def queue_work(number, milliseconds, urgent=False):
    (mixed.using(priority=100) if urgent else mixed).enqueue(number, milliseconds)


def queue(number):
    noop.enqueue(number)


def fill(numbers):
    noop.get_backend().enqueue_all([(noop, [number], {}) for number in numbers])


def left():
    return ReadyExecution.objects.count() + ClaimedExecution.objects.count()


def finished():
    return Job.objects.filter(finished_at__isnull=False).count()
