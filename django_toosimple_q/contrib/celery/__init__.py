"""Celery's API for tasks, on this queue: change `from celery` in an import and keep the code.

    from django_toosimple_q.contrib.celery import shared_task

    @shared_task(bind=True, max_retries=5)
    def send_invoice(self, order_id): ...

    send_invoice.apply_async((42,), countdown=60).revoke()

Submodules have Celery's names: `exceptions`, `result`, `schedules`, `states`, `utils.log`.
"""

from django_toosimple_q import faces
from django_toosimple_q.contrib.celery import connect
from django_toosimple_q.contrib.celery.app import Celery
from django_toosimple_q.contrib.celery.canvas import (
    Signature,
    chain,
    chord,
    chunks,
    group,
    signature,
    starmap,
    xmap,
)
from django_toosimple_q.contrib.celery.exceptions import Retry, SoftTimeLimitExceeded, absent
from django_toosimple_q.contrib.celery.request import current_task
from django_toosimple_q.contrib.celery.result import AsyncResult, EagerResult
from django_toosimple_q.contrib.celery.schedules import crontab
from django_toosimple_q.contrib.celery.task import Task, shared_task

__all__ = [
    "AsyncResult",
    "Celery",
    "EagerResult",
    "Retry",
    "Signature",
    "SoftTimeLimitExceeded",
    "Task",
    "chain",
    "chord",
    "chunks",
    "crontab",
    "current_task",
    "group",
    "shared_task",
    "signature",
    "starmap",
    "xmap",
]

faces.when_ready(connect.connect)

__getattr__ = absent(
    "celery",
    {
        "current_app": "There is no app. Call tasks directly, and read Django's settings.",
        "app_or_default": "There is no app. Call tasks directly, and read Django's settings.",
        "maybe_signature": "Use signature(…), which also accepts a signature.",
        "subtask": "Use signature(…).",
        "uuid": "The queue makes the ids. Keep the .id of the result of delay().",
        "bootsteps": "Start workers with manage.py worker, and connect to its signals.",
    },
)
