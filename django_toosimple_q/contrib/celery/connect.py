"""Read a project's Celery configuration, once the apps are ready."""

from importlib import import_module
from importlib.util import find_spec

from django_toosimple_q.contrib.celery import (  # (checks register themselves)
    app,
    beat,
    canvas,
    checks,  # noqa: F401
    conf,
)


def connect() -> None:
    """Import the modules that hold tasks beside tasks.py, and register CELERY_BEAT_SCHEDULE.

    A project that has neither a task nor an app of ours is left alone: it is Celery that its
    settings speak to.
    """
    if not canvas.tasks() and not app.discovered:
        return
    for name in ("CELERY_IMPORTS", "CELERY_INCLUDE"):
        modules = conf.get(name)
        for module in [modules] if isinstance(modules, str) else modules:
            import_module(module)
    for package, related in app.discovered:
        if find_spec(f"{package}.{related}"):
            import_module(f"{package}.{related}")
    beat.register(conf.get("CELERY_BEAT_SCHEDULE"))
