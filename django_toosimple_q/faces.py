"""What connects the parts in `contrib`: the core imports none of them.

A part that is imported asks for `when_ready`. What TASKS names is imported when the app is ready:
a worker then finds the tasks of modules that it has not imported.
"""

from collections.abc import Callable

from django.utils.module_loading import import_string

from django_toosimple_q import conf

# Why an entry of TASKS cannot be imported, by its alias; a system check reports ours.
problems: dict[str, Exception] = {}
# What is to be called once the app is ready, in the order it was asked for.
_waiting: list[Callable[[], None]] = []
_ready = False


def when_ready(connect: Callable[[], None]) -> None:
    """Call `connect` once the models and every app's tasks.py are loaded; at once if they are."""
    if _ready:
        connect()
    else:
        _waiting.append(connect)


def load_task_backends() -> None:
    """Import the backends that TASKS names: only an import shows which of them are ours."""
    problems.clear()
    for alias, path in conf.task_backends().items():
        try:
            import_string(path)
        except Exception as error:  # a module runs as it is imported
            problems[alias] = error


def connect_all() -> None:
    """Call what waits, and from now on everything at once."""
    global _ready
    while _waiting:
        _waiting.pop(0)()
    _ready = True
