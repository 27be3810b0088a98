"""Which hints this project uses: Redis where its URL is set, else what the database offers."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_toosimple_q import conf
from django_toosimple_q.notify import postgres, sqlite
from django_toosimple_q.notify.base import Hints

LISTENERS: dict[str, type[Any]] = {
    "postgresql": postgres.PostgresHints,
    "sqlite": sqlite.SqliteHints,
}
SENDERS: dict[str, Callable[[Any], None]] = {"postgresql": postgres.send}


def listen(wakeup: Any, alias: str, family: str) -> Hints:
    """Return how a worker waits, given the alias and the kind of its database."""
    if not conf.get("TOOSIMPLEQ_NOTIFY"):
        return Hints(wakeup)
    url = conf.get("TOOSIMPLEQ_REDIS_URL")
    if url:
        return redis_module().RedisHints(wakeup, url)
    listener = LISTENERS.get(family)
    return listener(wakeup, alias) if listener else Hints(wakeup)


def sender(family: str) -> Callable[[Any], None] | None:
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
