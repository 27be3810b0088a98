"""The no-op task of django-tasks-db."""

from django.tasks import task
from django_tasks_db.models import DBTaskResult

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


def left():
    return DBTaskResult.objects.filter(status__in=["READY", "RUNNING"]).count()


def finished():
    return DBTaskResult.objects.filter(status="SUCCESSFUL").count()
