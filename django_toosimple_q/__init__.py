"""A task queue and cron scheduler for Django whose only broker is the database.

    from django_toosimple_q import register_task, schedule_task

The public names are imported when they are first used, so that this package can be imported before
Django's apps are ready.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_toosimple_q import queues
    from django_toosimple_q.decorators import TaskFunction, register_task, schedule_task
    from django_toosimple_q.exceptions import (
        Cancel,
        InvalidArguments,
        InvalidDefinition,
        InvalidDue,
        InvalidProgress,
        InvalidRetry,
        ResultGone,
        Retry,
        TaskTimeout,
        ToosimpleQError,
        UnknownOption,
    )
    from django_toosimple_q.execution import Cancellation, current_task, track

__version__ = "2.0.0.dev0"

__all__ = [
    "Cancel",
    "Cancellation",
    "InvalidArguments",
    "InvalidDefinition",
    "InvalidDue",
    "InvalidProgress",
    "InvalidRetry",
    "ResultGone",
    "Retry",
    "TaskFunction",
    "TaskTimeout",
    "ToosimpleQError",
    "UnknownOption",
    "current_task",
    "queues",
    "register_task",
    "schedule_task",
    "track",
]

_MODULES = {
    "Cancellation": "execution",
    "TaskFunction": "decorators",
    "current_task": "execution",
    "register_task": "decorators",
    "schedule_task": "decorators",
    "track": "execution",
}


# Hidden from type checkers: of a module with one they accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "queues":
            return import_module(f"{__name__}.queues")
        value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'exceptions')}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
