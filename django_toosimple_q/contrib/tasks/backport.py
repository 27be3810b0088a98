"""The backend for `django_tasks`, the backport of Django's tasks framework."""

from typing import Any

from django_tasks import exceptions, task_backends
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
from django_tasks.exceptions import TaskResultDoesNotExist
from django_tasks.signals import task_enqueued, task_finished, task_started
from django_tasks.utils import normalize_json

from django_toosimple_q.contrib.tasks.backend import Backend
from django_toosimple_q.contrib.tasks.definition import decorator, task_class
from django_toosimple_q.contrib.tasks.framework import Framework, register


def named(name: str) -> type[Exception]:
    """Return an exception class, which releases up to 0.12 name `…Error`."""
    return getattr(exceptions, name, None) or getattr(exceptions, f"{name}Error")


FRAMEWORK = register(
    Framework(
        task_backends=task_backends,
        Task=Task,
        TaskContext=TaskContext,
        TaskError=TaskError,
        TaskResult=TaskResult,
        TaskResultStatus=TaskResultStatus,
        InvalidTask=named("InvalidTask"),
        InvalidTaskBackend=named("InvalidTaskBackend"),
        TaskResultDoesNotExist=TaskResultDoesNotExist,
        task_enqueued=task_enqueued,
        task_started=task_started,
        task_finished=task_finished,
        normalize_json=normalize_json,
    )
)

ToosimpleQTask: Any = task_class(FRAMEWORK, __name__)
task = decorator(FRAMEWORK)


class ToosimpleQBackend(Backend, BaseTaskBackend):
    """Queues Django tasks as rows of this queue. See `Backend`."""

    framework = FRAMEWORK
    task_class = ToosimpleQTask
