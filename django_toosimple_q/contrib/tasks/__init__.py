"""Django's tasks framework on this queue: the backend that TASKS names.

    TASKS = {"default": {"BACKEND": "django_toosimple_q.contrib.tasks.ToosimpleQBackend"}}

This path serves `django.tasks` where Django has it (6.0 on), else the backport `django_tasks`. A
project that has both names `core.ToosimpleQBackend` or `backport.ToosimpleQBackend` below it.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_toosimple_q.contrib.tasks.core import ToosimpleQBackend, task

# The framework's module, and ours that speaks to it.
LINES = {"django.tasks": "core", "django_tasks": "backport"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    line = "django.tasks" if find_spec("django.tasks") else "django_tasks"
    return getattr(import_module(f"{__name__}.{LINES[line]}"), name)


__all__ = ["ToosimpleQBackend", "task"]
