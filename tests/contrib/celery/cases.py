"""What the tests of the Celery face share."""

from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.contrib.celery import options
from django_toosimple_q.models import TaskExec
from django_toosimple_q.testing import run_queued
from tests.support import States, isolate_registries


class CeleryTests(TestCase):
    """Tests whose tasks, and warnings, vanish with them."""

    def setUp(self):
        isolate_registries(self)
        options.warn_ignored.cache_clear()


def attempt(times=1):
    """Run what waits, retries too, as if its time had come."""
    for _ in range(times):
        now = timezone.now()
        for row in TaskExec.objects.filter(state=States.SLEEPING):
            # Both, so that what lies between them can still be asked for.
            TaskExec.objects.filter(pk=row.pk).update(
                due=now, created=now - (row.due - row.created)
            )
        run_queued()


def last_row():
    return TaskExec.objects.latest("pk")


def delay_of(row):
    """Return how many seconds a row had to wait when it was made."""
    return (row.due - row.created).total_seconds()


def delays():
    """Return the seconds before each retry, oldest first."""
    return [delay_of(row) for row in TaskExec.objects.filter(attempt__gt=1).order_by("pk")]
