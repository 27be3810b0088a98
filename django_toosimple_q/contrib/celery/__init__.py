"""Celery's way to write tasks, on this queue: change `from celery` in an import, keep the code.

    from django_toosimple_q.contrib.celery import shared_task

    @shared_task(bind=True, max_retries=5)
    def send_invoice(self, order_id): ...

    send_invoice.apply_async((42,), countdown=60).revoke()

Submodules stand where Celery has them: `exceptions`, `result`, `schedules`, `states`, `utils.log`.
"""

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
from django_toosimple_q.contrib.celery.exceptions import Retry, SoftTimeLimitExceeded
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
