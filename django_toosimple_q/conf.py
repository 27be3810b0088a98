"""The only reader of settings: every setting of this package, with its default."""

from datetime import timedelta
from typing import Any

from django.conf import settings

PREFIX = "TOOSIMPLEQ_"

DEFAULTS: dict[str, Any] = {
    # The backend that really sends what contrib.mail has queued.
    "TOOSIMPLEQ_EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
    # The zone of schedules that name none (default: TIME_ZONE).
    "TOOSIMPLEQ_CRON_TIMEZONE": None,
    # The largest result that is stored, in bytes of pickle.
    "TOOSIMPLEQ_MAX_RESULT": 1_000_000,
    # True: a call whose result cannot be stored is retried like any other that failed, although
    # its work was done.
    "TOOSIMPLEQ_RETRY_UNSTORABLE": False,
    # An aware datetime until which rows without a signature are still read, for the hours in
    # which processes of django-toosimple-q 1.x go on queueing.
    "TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL": None,
    # How long rows are kept after they ended, by state; states that are not named, for ever.
    "TOOSIMPLEQ_RETENTION": {"SUCCEEDED": timedelta(days=30)},
    # Wake-up hints: False leaves every worker to its tick.
    "TOOSIMPLEQ_NOTIFY": True,
    # Where wake-up hints go through Redis, such as "redis://:password@localhost:6379/0".
    "TOOSIMPLEQ_REDIS_URL": None,
}


def get(name: str) -> Any:
    """Return the project's value of the setting `name` ("TOOSIMPLEQ_…"), or its default."""
    return getattr(settings, name, DEFAULTS[name])


def unknown_names() -> list[str]:
    """Return the settings that carry our prefix and mean nothing."""
    return sorted(
        name for name in dir(settings) if name.startswith(PREFIX) and name not in DEFAULTS
    )


def uses_time_zones() -> bool:
    """Tell whether the project stores aware datetimes (USE_TZ)."""
    return bool(settings.USE_TZ)


def cron_timezone() -> str:
    """Return the name of the zone that schedules without one of their own are read in."""
    return get("TOOSIMPLEQ_CRON_TIMEZONE") or settings.TIME_ZONE
