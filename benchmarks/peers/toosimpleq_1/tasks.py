"""The no-op task of django-toosimple-q 1.x."""

from django_toosimple_q.decorators import register_task
from django_toosimple_q.models import TaskExec
from peers.ledger import note


@register_task(name="noop")
def noop(number):
    note(number)


def queue(number):
    noop.queue(number)


def left():
    return TaskExec.objects.filter(state__in=["SLEEPING", "QUEUED", "PROCESSING"]).count()


def finished():
    return TaskExec.objects.filter(state="SUCCEEDED").count()
