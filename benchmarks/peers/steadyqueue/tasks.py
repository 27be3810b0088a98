"""The no-op task of Steady Queue."""

from django.tasks import task
from steady_queue.models import ClaimedExecution, Job, ReadyExecution

from peers.ledger import note


@task()
def noop(number):
    note(number)


def queue(number):
    noop.enqueue(number)


def left():
    return ReadyExecution.objects.count() + ClaimedExecution.objects.count()


def finished():
    return Job.objects.filter(finished_at__isnull=False).count()
