"""What the tests share: small tasks, workers' rows, and waiting for a condition."""

import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest import mock

from django.db import connection
from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.decorators import register_task
from django_toosimple_q.execution import Claimed
from django_toosimple_q.models import Minute, TaskExec, WorkerStatus
from django_toosimple_q.payload import seal
from django_toosimple_q.store import minutes, task_execs
from django_toosimple_q.store.task_execs import Claimant
from django_toosimple_q.store.workers import ProcessIdentity
from django_toosimple_q.testing import isolated_registries
from django_toosimple_q.wakeups.hints import QUIET_SECONDS, announcer
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.processes.scoreboard import Scoreboard
from django_toosimple_q.worker.registration import Registration

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


def count_failures(number, name="t", queue="default"):
    """Count calls that failed in this minute, as a worker does."""
    Minute.objects.create(
        minute=minutes.minute_of(timezone.now()),
        task_name=name,
        queue=queue,
        worker_id=1,
        failures=number,
    )


def registration_of(claimant):
    """Return the registration of a worker whose row is made already."""
    row = WorkerStatus.objects.get(pk=claimant.worker_id)
    options = WorkerOptions(label=row.label, timeout=row.timeout.total_seconds())
    registration = Registration(options, Scoreboard())
    registration.row = row
    return registration


def identity(incarnation="i", host="h", pid=1, host_id="p"):
    return ProcessIdentity(incarnation, host, pid, host_id)


def gone():
    """Return the id of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def claim(claimant, limit=100, now=NOW, queues=None, skipped_names=()):
    """Claim from the buckets that wait, as a worker does."""
    waiting = task_execs.backlog(now).buckets
    buckets = [bucket for bucket in waiting if queues is None or bucket.queue in queues]
    return claim_from(claimant, buckets, limit, now, skipped_names)


def claimed(name="t", args=(), kwargs=None, **fields):
    """Return a claimed row without a database."""
    values = {
        "pk": 1,
        "task_name": name,
        "args": seal(list(args), "args", name),
        "kwargs": seal(kwargs or {}, "kwargs", name),
        "queue": "default",
        "priority": 0,
        "retries": 0,
        "retry_delay": 0,
        "due": NOW,
        "expires": None,
        "attempt": 1,
        "root_id": None,
        "crash_count": 0,
        "unique_hash": "",
        "exclusive": False,
        "timeout": None,
        **fields,
    }
    return Claimed(**values)


def claim_from(claimant, buckets, limit=100, now=NOW, skipped_names=()):
    """Claim from these buckets, with nothing to finish."""
    _, claimed = task_execs.finish_and_claim([], claimant, buckets, limit, now, skipped_names)
    return claimed


@contextmanager
def hints():
    """Collect the channels of the hints that the block sends, at the end of its transaction."""
    sent = []
    quiet_is_over = mock.patch.object(announcer, "sent", -QUIET_SECONDS)
    send = mock.Mock(return_value=lambda connection, channel: sent.append(channel))
    # A hint that the test's transaction has planned before would stand for those of the block.
    not_planned = mock.patch.object(connection, "run_on_commit", [])
    committed = TestCase.captureOnCommitCallbacks(execute=True)
    patched = mock.patch("django_toosimple_q.wakeups.sender", send)
    with quiet_is_over, patched, not_planned, committed:
        yield sent


def reload(row):
    return TaskExec.objects.get(pk=getattr(row, "pk", row))


def states():
    """Return the states of all rows, by id."""
    return [row.state for row in TaskExec.objects.order_by("pk")]


def ago(**delta):
    return NOW - timedelta(**delta)
