"""The only reader of settings: every setting of this package, with its default."""

import logging
from datetime import timedelta
from typing import Any

from django.conf import global_settings, settings
from django.core.exceptions import ImproperlyConfigured

PREFIX = "TOOSIMPLEQ_"

DEFAULTS: dict[str, Any] = {
    # The backend that sends the mail that contrib.mail has queued.
    "TOOSIMPLEQ_EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
    # The time zone of schedules without one of their own (default: TIME_ZONE).
    "TOOSIMPLEQ_CRON_TIMEZONE": None,
    # The largest result that is stored, in bytes of pickle.
    "TOOSIMPLEQ_MAX_RESULT": 1_000_000,
    # Whether a call whose result cannot be stored is retried like other failures, although its
    # work was done.
    "TOOSIMPLEQ_RETRY_UNSTORABLE": False,
    # An aware datetime until which rows without a signature are still read, for the hours in
    # which processes of django-toosimple-q 1.x still queue calls.
    "TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL": None,
    # How long rows are kept after they ended, by state. Other states are kept for ever.
    "TOOSIMPLEQ_RETENTION": {"SUCCEEDED": timedelta(days=30)},
    # What tells this code from older and newer code; by default a digest of the project's files.
    "TOOSIMPLEQ_CODE_VERSION": None,
    # Whether to send wake-up hints. Without them, workers find new rows at their next tick.
    "TOOSIMPLEQ_NOTIFY": True,
    # The Redis server for wake-up hints, such as "redis://:password@localhost:6379/0".
    "TOOSIMPLEQ_REDIS_URL": None,
    # The level from which on a row keeps what its task logs; None keeps nothing.
    "TOOSIMPLEQ_TASK_LOG_LEVEL": "WARNING",
    # Where the task waits that acts on very many calls for the admin, and how urgent it is: before
    # the calls that it may cancel.
    "TOOSIMPLEQ_BULK_QUEUE": "default",
    "TOOSIMPLEQ_BULK_PRIORITY": 100,
    # What a probe sends as "Authorization: Bearer …" to read the views of contrib.health and
    # contrib.prometheus. Without it only users who may see the queues can.
    "TOOSIMPLEQ_MONITORING_TOKEN": None,
}


def get(name: str) -> Any:
    """Return the project's value of the setting `name` ("TOOSIMPLEQ_…"), or its default."""
    return getattr(settings, name, DEFAULTS[name])


def unknown_names() -> list[str]:
    """Return the settings that have our prefix but do not exist."""
    return sorted(
        name for name in dir(settings) if name.startswith(PREFIX) and name not in DEFAULTS
    )


def task_backends() -> dict[str, str]:
    """Return the paths of the backends that the project's TASKS names, by alias.

    Django's own default does not count, and the framework itself reports what has no such shape.
    """
    tasks = getattr(settings, "TASKS", None)
    if not isinstance(tasks, dict) or tasks is getattr(global_settings, "TASKS", None):
        return {}
    entries = ((alias, entry) for alias, entry in tasks.items() if isinstance(entry, dict))
    paths = ((alias, entry.get("BACKEND")) for alias, entry in entries)
    return {alias: path for alias, path in paths if isinstance(path, str)}


def task_log_level() -> int | None:
    """Return the level from which on log records of tasks are kept, or None for none.

    Raises ImproperlyConfigured for a level that does not exist.
    """
    given = get("TOOSIMPLEQ_TASK_LOG_LEVEL")
    levels = logging.getLevelNamesMapping()
    found = levels.get(given.upper()) if isinstance(given, str) else given
    if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
        found = None
    if found is None and given is not None:
        raise ImproperlyConfigured(
            f"TOOSIMPLEQ_TASK_LOG_LEVEL cannot be {given!r}. Use the name of a level, such as "
            '"WARNING", or None to keep no log records.'
        )
    return found


def uses_time_zones() -> bool:
    """Return whether the project stores aware datetimes (USE_TZ)."""
    return bool(settings.USE_TZ)


def cron_timezone() -> str:
    """Return the name of the time zone of schedules without one of their own."""
    return get("TOOSIMPLEQ_CRON_TIMEZONE") or settings.TIME_ZONE
