"""The only reader of CELERY_* settings: those that have an effect here, with their defaults."""

from typing import Any

from django.conf import settings

PREFIX = "CELERY_"

DEFAULTS: dict[str, Any] = {
    # Run calls at once in the calling process; with PROPAGATES, raise their errors there.
    "CELERY_TASK_ALWAYS_EAGER": False,
    "CELERY_TASK_EAGER_PROPAGATES": False,
    # Maps names to
    # {"task", "schedule": crontab() | timedelta | seconds, "args", "kwargs", "options"}.
    "CELERY_BEAT_SCHEDULE": {},
    # The time zone of crontab() and of a naive eta; default: TIME_ZONE.
    "CELERY_TIMEZONE": None,
    # Modules with tasks to import in addition to every app's tasks.py.
    "CELERY_IMPORTS": (),
    "CELERY_INCLUDE": (),
    # The defaults of tasks.
    "CELERY_TASK_DEFAULT_QUEUE": "default",
    "CELERY_TASK_DEFAULT_PRIORITY": 0,
    "CELERY_TASK_ROUTES": {},
    "CELERY_TASK_TIME_LIMIT": None,
    "CELERY_TASK_SOFT_TIME_LIMIT": None,
    "CELERY_TASK_DEFAULT_RATE_LIMIT": None,
    "CELERY_TASK_IGNORE_RESULT": False,
    "CELERY_TASK_ACKS_LATE": False,
}


def get(name: str) -> Any:
    """Return the project's value of the setting `name` ("CELERY_…"), or its default."""
    value = getattr(settings, name, None)
    return DEFAULTS[name] if value is None else value


def names_without_effect() -> list[str]:
    """Return the project's CELERY_* settings that have no effect here."""
    return sorted(
        name for name in dir(settings) if name.startswith(PREFIX) and name not in DEFAULTS
    )
