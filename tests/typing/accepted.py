"""Calls that type checkers accept, with the types that they see. Checked, never run."""

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from django_toosimple_q import (
    Cancel,
    InvalidArguments,
    Retry,
    TaskFunction,
    TaskTimeout,
    ToosimpleQError,
    current_task,
    queues,
    register_task,
    schedule_task,
)
from django_toosimple_q.models import TaskExec
from django_toosimple_q.worker.options import WorkerOptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@register_task
def bare(name: str) -> None: ...


@register_task()
def plain(name: str) -> None: ...


@register_task(
    name="greet",
    queue="mail",
    priority=5,
    unique=True,
    unique_by=lambda name, times=1: name,
    retries=3,
    retry_delay=60,
    retry_delay_max=3600,
    retry_jitter=True,
    retry_for=[ConnectionError, TimeoutError],
    retry_not_for=ValueError,
    timeout=2.5,
    timeout_grace=1,
    max_running=2,
    rate_limit="10/m",
    atomic=False,
    on_interruption="hold",
    expires=timedelta(hours=1),
    sensitive=["name"],
)
def greet(name: str, times: int = 1) -> str:
    return name * times


assert_type(greet("x", times=2), str)
assert_type(greet.queue("x", times=2), TaskExec)
assert_type(greet.queue("x", due=NOW), TaskExec)
assert_type(greet.queue("x", due=None), TaskExec)
assert_type(greet.queue_many([("x",), ["y", 2], {"name": "z"}]), list[TaskExec])
assert_type(greet.queue_many(["x", "y"], due=NOW), list[TaskExec])
bare.queue("x")
plain.queue(name="x")

# One call's own settings; what it returns keeps the parameters.
urgent = greet.using(priority=9, queue="urgent", due=NOW, expires=timedelta(minutes=5))
assert_type(urgent.queue("x", times=2), TaskExec)
assert_type(urgent.using(priority=1).queue("x"), TaskExec)
assert_type(urgent.queue_many([("x",)]), list[TaskExec])
assert_type(greet.task.name, str)


# Rows.
row = greet.queue("x")
row.cancel("not needed")
assert_type(row.wait_done(timeout=1), TaskExec | None)


# Schedules leave the type of what they are written above.
@schedule_task(
    name="morning",
    cron="30 8 * * *",
    queue="mail",
    args=["John"],
    kwargs={"times": 2},
    datetime_kwarg=None,
    catch_up=True,
    run_on_creation=False,
    timezone="Europe/Paris",
)
@schedule_task(name="evening", cron="manual")
@register_task(name="scheduled")
def scheduled(name: str, times: int = 1) -> bytes:
    return b""


assert_type(scheduled("x"), bytes)
assert_type(scheduled.queue("x", times=1), TaskExec)


# Coroutine functions.
@register_task(name="fetch", retries=1)
async def fetch(url: str) -> bytes:
    return b""


async def use() -> None:
    assert_type(await fetch("x"), bytes)
    assert_type(fetch.queue("x"), TaskExec)
    assert_type(await greet.aqueue("x", times=2), TaskExec)
    assert_type(await greet.aqueue("x", due=NOW), TaskExec)
    assert_type(await greet.aqueue_many([("x",)]), list[TaskExec])
    assert_type(await greet.using(priority=1).aqueue("x"), TaskExec)
    assert_type(await row.await_done(), TaskExec | None)


# Functions that take any task.
def count_calls(task: TaskFunction[..., Any]) -> str:
    return task.task.name


count_calls(greet)
count_calls(fetch)


# What a task raises and sees.
def body() -> None:
    this = current_task()
    if this is not None and this.interrupted:
        assert_type(this.attempt, int)
        raise Retry("it stops", delay=0, count=False)
    if this is None:
        raise Retry(delay=timedelta(minutes=1))
    raise Cancel("no such order")


try:
    body()
except (TaskTimeout, InvalidArguments) as error:
    base: ToosimpleQError = error

assert_type(queues.pause("mail"), bool)
assert_type(queues.paused(), dict[str, datetime])

WorkerOptions(queues=["mail"], tick=1, threads=4, max_memory=300, reload="never")
