"""The site's tasks, written for 1.x."""

import os
import time
from pathlib import Path

from django_toosimple_q.decorators import register_task, schedule_task


@register_task(name="add", queue="sums", priority=3)
def add(a, b):
    print("adding")
    return a + b


@register_task(name="fail", retries=3, retry_delay=600)
def fail():
    raise ValueError("no")


@register_task(name="refresh", unique=True)
def refresh(key):
    return key


@register_task(name="later")
def later():
    return "late"


@schedule_task(cron="0 0 1 1 *", name="new_year")
@register_task(name="yearly")
def yearly():
    return "happy"


if os.environ.get("SHOP_LEDGER"):
    # New code: a worker of 1.x that still runs does not know this task.
    @register_task(name="note")
    def note(line, until=""):
        with Path(os.environ["SHOP_LEDGER"]).open("a") as ledger:
            ledger.write(f"{line}\n")
        while until and not Path(until).exists():
            time.sleep(0.05)
