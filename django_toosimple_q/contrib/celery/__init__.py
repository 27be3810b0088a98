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

__getattr__ = absent(
    "celery",
    {
        "current_app": "There is no app: call tasks directly, read settings from Django's.",
        "app_or_default": "There is no app: call tasks directly, read settings from Django's.",
        "maybe_signature": "Use signature(…), which takes a signature as well.",
        "subtask": "Use signature(…).",
        "uuid": "The queue makes the ids: keep the .id of what delay() returns.",
        "bootsteps": "Workers are started by manage.py worker; see its signals.",
    },
)
