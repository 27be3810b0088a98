"""A process that stops before a commit, in a function of the store, with all its locks held."""

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

from django.db import connection
from django.utils import timezone

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import queues, schedule_execs, task_execs, workers
from django_toosimple_q.store.schedule_execs import DueSchedule
from django_toosimple_q.store.task_execs import Bucket, Claimant
from django_toosimple_q.store.transaction import keep_within
from django_toosimple_q.store.workers import ProcessIdentity
from tests.app import tasks

IDLE_SECONDS = 2
SCHEDULE = "app.every_second"
LONG_AGO = timedelta(days=60)

# What the process does before it stops, by name; each is given a worker and its claimed rows.
ACTS: dict[str, Callable[["Act"], Any]] = {}


class Act:
    """A worker in this process, with some rows in hand."""

    def __init__(self) -> None:
        self.now = timezone.now()
        row = WorkerStatus.objects.create(
            label="frozen", incarnation="f", last_tick=self.now, timeout=timedelta(minutes=5)
        )
        self.claimant = Claimant(row.pk, "f")
        self.dead = self.make_worker("dead", stopped=self.now)
        self.stale = self.make_worker("stale", last_tick=self.now - timedelta(hours=2))

    def make_worker(self, label: str, **fields: Any) -> WorkerStatus:
        return WorkerStatus.objects.create(label=label, incarnation=label, **fields)

    def claimed(self, task: Any = tasks.echo, *args: Any) -> list[Any]:
        task.queue(*args)
        # Of the same name as those that the test queues, and before them.
        buckets = [Bucket(task.task.queue_name, task.task.concurrency_key)]
        return task_execs.finish_and_claim([], self.claimant, buckets, 1, timezone.now())[1]


def act(function: Callable[[Act], Any]) -> Callable[[Act], Any]:
    ACTS[function.__name__] = function
    return function


@act
def claim(one: Act) -> Any:
    tasks.echo.queue()
    return lambda: one.claimed()


@act
def claim_limited(one: Act) -> Any:
    one.claimed(tasks.two_at_once, 0, "", "")
    return lambda: one.claimed(tasks.two_at_once, 0, "", "")


@act
def finish(one: Act) -> Any:
    rows = one.claimed(tasks.unique, "k")
    failed = Outcome("FAILED", one.now, one.now, error="x", next_attempt=NextAttempt(60, 0, 1))
    return lambda: task_execs.finish([(rows[0], failed)], one.claimant.worker_id, one.now)


@act
def wake(one: Act) -> Any:
    tasks.echo.queue(due=one.now)
    return lambda: task_execs.wake(timezone.now())


@act
def release(one: Act) -> Any:
    rows = one.claimed()
    return lambda: task_execs.release(rows, one.claimant.worker_id, one.now)


@act
def rescue(one: Act) -> Any:
    one.claimed()
    WorkerStatus.objects.filter(pk=one.claimant.worker_id).update(rescued=one.now)
    return lambda: task_execs.rescue(one.now)


@act
def recover(one: Act) -> Any:
    one.claimed()
    return lambda: task_execs.recover(one.claimant, None, [], "exit code 1", one.now)


@act
def requeue_known(one: Act) -> Any:
    TaskExec.objects.create(task_name="app.echo", state="INVALID")
    return lambda: task_execs.requeue_known(["app.echo"], "v")


@act
def prune(one: Act) -> Any:
    row = TaskExec.objects.create(
        task_name="app.echo", state="SUCCEEDED", finished=one.now - LONG_AGO
    )
    ScheduleExec.objects.create(name=SCHEDULE, last_due=one.now, last_task=row)
    conditions = task_execs.expired({"SUCCEEDED": timedelta(days=1)}, one.now)
    return lambda: task_execs.prune(conditions)


@act
def advance(one: Act) -> Any:
    schedule = schedules_registry[SCHEDULE]
    before = one.now - timedelta(minutes=1)
    ScheduleExec.objects.create(name=SCHEDULE, last_due=before)
    due = DueSchedule(schedule, before, [one.now])
    found = schedule_execs.read([SCHEDULE])

    def go() -> Any:
        # What is read before is a transaction of its own, which locks nothing.
        with mock.patch.object(schedule_execs, "read", return_value=found):
            return schedule_execs.advance([due], one.now)

    return go


@act
def sync(one: Act) -> Any:
    ScheduleExec.objects.create(name="gone")
    schedule = schedules_registry[SCHEDULE]
    return lambda: schedule_execs.sync([schedule], [SCHEDULE], one.now)


@act
def force(one: Act) -> Any:
    ScheduleExec.objects.create(name=SCHEDULE)
    return lambda: schedule_execs.force(schedules_registry[SCHEDULE], one.now)


@act
def ensure(one: Act) -> Any:
    return lambda: queues.ensure({task.queue_name for task in tasks_registry.values()})


@act
def pause(one: Act) -> Any:
    queues.ensure({"another"})
    return lambda: queues.pause("another", one.now)


@act
def register(one: Act) -> Any:
    identity = ProcessIdentity("again", "h", 1, "")
    return lambda: workers.register("dead", identity, {}, one.now, expected=one.dead)


@act
def beat(one: Act) -> Any:
    return lambda: workers.beat(*one.claimant)


@act
def declare_dead(one: Act) -> Any:
    return lambda: workers.declare_dead(one.stale, one.now)


@act
def stop(one: Act) -> Any:
    return lambda: workers.stop(*one.claimant, 0, "", one.now)


@act
def cancel(one: Act) -> Any:
    row = tasks.echo.queue()
    return lambda: task_execs.cancel(row.pk, "no", one.now)


@act
def requeue(one: Act) -> Any:
    row = TaskExec.objects.create(task_name="app.echo", state="FAILED", finished=one.now)
    return lambda: task_execs.requeue(row, one.now)


@act
def queue_many_unique(one: Act) -> Any:
    tasks.unique.queue("u")
    return lambda: tasks.unique.queue_many(["u"])


@act
def run_atomically(one: Act) -> Any:
    [row] = one.claimed()
    done = Outcome("SUCCEEDED", one.now, one.now)
    worker_id = one.claimant.worker_id
    return lambda: task_execs.run_atomically(
        lambda: done, row, worker_id, timezone.now, lambda error: done
    )


def freeze(name: str) -> None:
    """Do what `name` says, and stop this process before it commits; exit with 3 if it does not."""
    keep_within(IDLE_SECONDS)
    go = ACTS[name](Act())
    connection.ensure_connection()
    connection._commit = lambda: os.kill(os.getpid(), signal.SIGSTOP)
    go()
    # Went on, or had nothing to commit.
    sys.exit(3)
