"""The no-op task of django-tasks-db."""

from django.tasks import task
from django_tasks_db.models import DBTaskResult

from peers.ledger import note


@task
def noop(number):
    note(number)


def queue(number):
    noop.enqueue(number)


def left():
    return DBTaskResult.objects.filter(status__in=["READY", "RUNNING"]).count()


def finished():
    return DBTaskResult.objects.filter(status="SUCCESSFUL").count()
