"""Read a project's Celery configuration, once the apps are ready."""

from importlib import import_module

from django_toosimple_q.contrib.celery import beat, canvas, checks, conf  # noqa: F401  (registers)


def connect() -> None:
    """Import the modules that CELERY_IMPORTS names and register CELERY_BEAT_SCHEDULE.

    A project none of whose tasks are ours is left alone: it is Celery that its settings speak to.
    """
    if not canvas.tasks():
        return
    for module in (*conf.get("CELERY_IMPORTS"), *conf.get("CELERY_INCLUDE")):
        import_module(module)
    beat.register(conf.get("CELERY_BEAT_SCHEDULE"))
