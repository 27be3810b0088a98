"""Tie the backend to the worker. Imported once the models are loaded."""

from collections.abc import Callable
from typing import Any

from django_toosimple_q import signals
from django_toosimple_q.contrib.tasks import (  # (checks register themselves)
    definition,
    finder,
    queue_checks,  # noqa: F401
    run,
)
from django_toosimple_q.registry import tasks_registry

RECEIVERS: list[tuple[Any, Callable[..., None]]] = [
    (signals.worker_started, run.on_worker_started),
    (signals.task_finished, run.on_task_finished),
    (signals.task_rescued, run.on_task_rescued),
]


def connect() -> None:
    """Run and find Django tasks for a worker, and listen to what it does. Twice does no harm."""
    definition.set_runner(run.run_task)
    if finder.find not in tasks_registry.finders:
        tasks_registry.finders.append(finder.find)
    for signal, receiver in RECEIVERS:
        signal.connect(receiver, dispatch_uid=f"toosimpleq_tasks_{receiver.__name__}")
