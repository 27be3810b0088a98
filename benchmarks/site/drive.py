"""Run inside a peer's environment: prepare its tables, queue its tasks."""

import os
import sys
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from bench.tasks import enqueue
from django.core.management import call_command
from django.db import connection


def prepare() -> None:
    """Make the tables."""
    call_command("migrate", verbosity=0, run_syncdb=True)


def fill(count: int) -> None:
    """Queue calls in one transaction; how long that takes is not measured."""
    from django.db import transaction

    with transaction.atomic():
        for _ in range(count):
            enqueue()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def rate(count: int) -> None:
    """Print how many calls a second are queued one by one, each its own transaction."""
    began = time.perf_counter()
    for _ in range(count):
        enqueue()
    print(count / (time.perf_counter() - began))


def create(count: int) -> None:
    """Print how many plain rows a second Django's own `create` makes."""
    from bench.models import Row

    began = time.perf_counter()
    for _ in range(count):
        Row.objects.create(task_name="noop", args="v1." + "A" * 80, kwargs="v1." + "A" * 80)
    print(count / (time.perf_counter() - began))


def many(count: int) -> None:
    """Print how many calls a second `queue_many` stores."""
    from bench.tasks import noop

    began = time.perf_counter()
    noop.queue_many([()] * count)
    print(count / (time.perf_counter() - began))


if __name__ == "__main__":
    globals()[sys.argv[1]](*map(int, sys.argv[2:]))
