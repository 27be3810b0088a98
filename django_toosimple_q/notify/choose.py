"""Which hints this project uses: Redis where its URL is set, else what the database offers."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_toosimple_q import conf
from django_toosimple_q.notify import postgres, sqlite
from django_toosimple_q.notify.base import WORK, Hints, Send

LISTENERS: dict[str, type[Any]] = {
    "postgresql": postgres.PostgresHints,
    "sqlite": sqlite.SqliteHints,
}
SENDERS: dict[str, Send] = {"postgresql": postgres.send}


def listen(wakeup: Any, alias: str, family: str, channel: str = WORK) -> Hints:
    """Return how to wait, given the alias and the kind of the database."""
    if not conf.get("TOOSIMPLEQ_NOTIFY"):
        return Hints(wakeup)
    url = conf.get("TOOSIMPLEQ_REDIS_URL")
    if url:
        return redis_module().RedisHints(wakeup, url, channel)
    listener = LISTENERS.get(family)
    return listener(wakeup, alias, channel) if listener else Hints(wakeup)


def pushes(family: str) -> bool:
    """Tell whether a wait ends when something happens, not only when its time is over."""
    return bool(
        conf.get("TOOSIMPLEQ_NOTIFY") and (conf.get("TOOSIMPLEQ_REDIS_URL") or family in LISTENERS)
    )


def sender(family: str) -> Send | None:
    """Return what sends a hint, or None where nobody would hear it."""
    if conf.get("TOOSIMPLEQ_REDIS_URL"):
        return redis_module().send
    return SENDERS.get(family)


def redis_module() -> Any:
    """Return the module for Redis. Raises ImproperlyConfigured when the client is missing."""
    try:
        from django_toosimple_q.notify import redis
    except ImportError as error:
        raise ImproperlyConfigured(
            "TOOSIMPLEQ_REDIS_URL is set and the package redis is not installed. "
            "Install django-toosimple-q[redis], or remove the setting."
        ) from error
    return redis
