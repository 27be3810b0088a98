"""Django's tasks framework on this queue: the backend that TASKS names.

    TASKS = {"default": {"BACKEND": "django_toosimple_q.contrib.tasks.ToosimpleQBackend"}}

One path serves both lines of the framework: `django.tasks` (Django 6.0 on) and the backport
`django_tasks`. Each gets its own classes, also where a project uses both at once.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_toosimple_q.contrib.tasks.core import ToosimpleQBackend, task

# The framework's module, and ours that speaks to it.
LINES = {"django.tasks": "core", "django_tasks": "backport"}
FRAMES_TO_THE_SETTINGS_HANDLER = 6


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{LINES[_line()]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _line() -> str:
    """Return the line of the framework whose settings handler asks, or the one there is.

    Both handlers read the same TASKS and import the same path from it: only the caller tells them
    apart.
    """
    frame: Any = sys._getframe(1)
    for _ in range(FRAMES_TO_THE_SETTINGS_HANDLER):
        if frame is None:
            break
        if frame.f_globals.get("__name__") in LINES:
            return str(frame.f_globals["__name__"])
        frame = frame.f_back
    return "django.tasks" if find_spec("django.tasks") else "django_tasks"


__all__ = ["ToosimpleQBackend", "task"]
