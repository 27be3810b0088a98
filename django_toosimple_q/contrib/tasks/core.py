"""The backend for `django.tasks`, Django 6.0 and later."""

from typing import Any

from django.tasks import task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils.json import normalize_json

from django_toosimple_q.contrib.tasks.backend import Backend
from django_toosimple_q.contrib.tasks.definition import decorator, task_class
from django_toosimple_q.contrib.tasks.framework import Framework, register

FRAMEWORK = register(
    Framework(
        task_backends=task_backends,
        Task=Task,
        TaskContext=TaskContext,
        TaskError=TaskError,
        TaskResult=TaskResult,
        TaskResultStatus=TaskResultStatus,
        InvalidTask=InvalidTask,
        InvalidTaskBackend=InvalidTaskBackend,
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
