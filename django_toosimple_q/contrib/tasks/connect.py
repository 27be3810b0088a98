"""Tie the backend to the worker, once the apps are ready."""

from collections.abc import Callable
from typing import Any

from django_toosimple_q import signals
from django_toosimple_q.contrib.tasks import checks, finder, run  # noqa: F401  (checks register)
from django_toosimple_q.registry import tasks_registry

RECEIVERS: list[tuple[Any, Callable[..., None]]] = [
    (signals.worker_started, run.on_worker_started),
    (signals.task_finished, run.on_task_finished),
    (signals.task_rescued, run.on_task_rescued),
]


def connect() -> None:
    """Answer for Django tasks that a worker does not know, and listen to what it does."""
    if finder.find not in tasks_registry.finders:
        tasks_registry.finders.append(finder.find)
    for signal, receiver in RECEIVERS:
        signal.connect(receiver, dispatch_uid=f"toosimpleq_tasks_{receiver.__name__}")
