"""What the two lines of the framework have in common, under one name each."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django_toosimple_q.contrib.tasks import LINES


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One line of the framework: `django.tasks` or `django_tasks`."""

    task_backends: Any
    Task: type[Any]
    TaskContext: type[Any]
    TaskError: type[Any]
    TaskResult: type[Any]
    TaskResultStatus: Any
    InvalidTask: type[Exception]
    InvalidTaskBackend: type[Exception]
    TaskResultDoesNotExist: type[Exception]
    task_enqueued: Any
    task_started: Any
    task_finished: Any
    normalize_json: Callable[[Any], Any]

    def backend(self, alias: str) -> Any:
        """Return our backend of this alias, or None when TASKS has no such one."""
        try:
            backend = self.task_backends[alias]
        except self.InvalidTaskBackend:
            return None
        return backend if getattr(backend, "framework", None) is self else None


def loaded() -> list[Framework]:
    """Return the lines of the framework that this process has imported."""
    return [
        import_module(f"{__package__}.{ours}").FRAMEWORK
        for theirs, ours in LINES.items()
        if theirs in sys.modules
    ]
