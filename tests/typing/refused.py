"""Calls that type checkers refuse: each line that is marked, and no other. Checked, never run."""

import django_toosimple_q
from django_toosimple_q import Cancel, Retry, current_task, queues, register_task, schedule_task
from django_toosimple_q.worker.options import WorkerOptions

django_toosimple_q.nothing  # refused


@register_task(name="greet")
def greet(name: str, times: int = 1) -> str:
    return name * times


@register_task
async def fetch(url: str) -> bytes:
    return b""


# Arguments that do not fit the function.
greet()  # refused
greet.queue()  # refused
greet.queue(1)  # refused
greet.queue("x", "y")  # refused
greet.queue("x", nope=4)  # refused
greet.queue("x", times="2")  # refused
greet.queue(1, 2, 3, nope=4)  # refused
greet.queue("x", due="tomorrow")  # refused
greet.queue_many([("x",)], due="tomorrow")  # refused
greet.queue_many(5)  # refused
fetch.queue(1)  # refused
greet.task.queue(1)  # refused

# Settings of one call.
greet.using(prioritty=3)  # refused
greet.using(priority="high")  # refused
greet.using(retries=3)  # refused
greet.using(due=60)  # refused
greet.using(priority=3).queue(1)  # refused
greet.using(priority=3).queue("x", nope=4)  # refused

# Options.
register_task(retrys=3)  # refused
register_task(priority="high")  # refused
register_task(retry_for=["ValueError"])  # refused
register_task(retry_for=(int,))  # refused
register_task(unique_by="x")  # refused
register_task(atomic="yes")  # refused
register_task(on_interruption="holt")  # refused
register_task(expires=60)  # refused
register_task(timeout="1h")  # refused
register_task(sensitive=5)  # refused
register_task(sensitive=[1])  # refused
register_task("greet")  # refused


# Schedules.
@schedule_task()  # refused
@register_task(name="no_cron")
def no_cron() -> None: ...


@schedule_task(cron="@daily", catchup=True)  # refused
@register_task(name="misspelt")
def misspelt() -> None: ...


@schedule_task(cron="@daily", args=5)  # refused
@register_task(name="arguments")
def arguments() -> None: ...


@schedule_task(cron="@daily")  # refused
def no_task() -> None: ...


@schedule_task(cron="@daily")
@register_task(name="scheduled")
def scheduled(name: str) -> None: ...


scheduled.queue(1)  # refused


# Rows and results.
greet.queue("x").wait_done(timeout="1")  # refused
greet("x") + 1  # refused


async def use() -> None:
    await greet.aqueue(1)  # refused
    await greet.aqueue("x", due="tomorrow")  # refused
    await greet.using(priority=3).aqueue(1)  # refused
    (await fetch("x")) + 1  # refused


# What a task raises and sees.
Retry("x", delay="soon")  # refused
Retry("x", count="x")  # refused
Retry("x", 60)  # refused
Retry(60)  # refused
Cancel(5)  # refused
current_task().interrupted  # refused
queues.pause(5)  # refused

WorkerOptions(queue=["mail"])  # refused
WorkerOptions(threads="4")  # refused
WorkerOptions(reload="yes")  # refused
