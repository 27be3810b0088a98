"""What the tests share: small tasks, workers' rows, and waiting for a condition."""

import os
import time
from datetime import UTC, datetime, timedelta

from django_toosimple_q.decorators import register_task
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import Claimant
from django_toosimple_q.store.workers import Identity
from django_toosimple_q.testing import isolated_registries

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
States = TaskExec.States


def wait_for(condition, timeout=20.0, every=0.02):
    """Return what `condition` returns once that is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {timeout} s: {condition}, last {found!r}")
        time.sleep(every)


def isolate_registries(test):
    """Let the test define tasks that vanish with it."""
    registries = isolated_registries()
    registries.__enter__()
    test.addCleanup(registries.__exit__, None, None, None)


def make_task(name="t", func=None, **options):
    """Register a task that returns its arguments, or `func`."""
    return register_task(name=name, **options)(func or (lambda *args, **kwargs: [args, kwargs]))


def make_worker(label="w", incarnation="i", now=NOW, **fields):
    """Make a worker's row and return who claims in its name."""
    row = WorkerStatus.objects.create(
        label=label, incarnation=incarnation, last_tick=now, started=now, **fields
    )
    return Claimant(row.pk, row.incarnation)


def identity(incarnation="i", host="h", pid=1, place="p"):
    return Identity(incarnation, host, pid, place)


def gone():
    """Return the id of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def claim(claimant, limit=100, now=NOW, queues=None, skipped_names=()):
    """Claim from the queues that wait, as a worker does."""
    waiting = task_execs.look(now).places
    places = [place for place in waiting if queues is None or place.queue in queues]
    return task_execs.claim(claimant, places, limit, now, skipped_names)


def reload(row):
    return TaskExec.objects.get(pk=getattr(row, "pk", row))


def states():
    """Return the states of all rows, by id."""
    return [row.state for row in TaskExec.objects.order_by("pk")]


def ago(**delta):
    return NOW - timedelta(**delta)
