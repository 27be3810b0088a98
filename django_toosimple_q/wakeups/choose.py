"""Which hints this project uses: Redis where its URL is set, else what the database offers."""

from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured

from django_toosimple_q import conf
from django_toosimple_q.wakeups.hints import (
    CANCELLED,
    DONE,
    WORK,
    Hints,
    Send,
    announce_now,
)


class Channel(Protocol):
    """What a database offers: how to listen for hints and how to send them, or None."""

    @property
    def listener(self) -> type[Any] | None: ...

    @property
    def send_hint(self) -> Send | None: ...


def listen(wakeup: Any, database: Channel, alias: str, channel: str = WORK) -> Hints:
    """Return how to wait, given the queue's database and its alias."""
    if not conf.get("TOOSIMPLEQ_NOTIFY"):
        return Hints(wakeup)
    url = conf.get("TOOSIMPLEQ_REDIS_URL")
    if url:
        return redis_module().RedisHints(wakeup, url, channel)
    return Hints(wakeup) if database.listener is None else database.listener(wakeup, alias, channel)


def listen_for_cancellations(wakeup: Any, database: Channel, alias: str) -> Hints:
    """Return how to wait, on the thread's own connection, for calls that were cancelled.

    Where the database cannot tell them from other hints, and with Redis, a heartbeat finds them.
    """
    listener = database.listener
    redis = conf.get("TOOSIMPLEQ_REDIS_URL")
    if listener is None or not listener.selective or redis or not conf.get("TOOSIMPLEQ_NOTIFY"):
        return Hints(wakeup)
    hints: Hints = listener(wakeup, alias, CANCELLED, shares=True)
    return hints


def announce_done(connection: Any, database: Channel) -> None:
    """Wake the callers that wait for rows to end, after the commit."""
    announce_now(connection, sender(database), DONE)


def announce_cancelled(connection: Any, database: Channel) -> None:
    """Tell the workers that a claimed call was cancelled, after the commit."""
    if database.listener is not None and database.listener.selective:
        announce_now(connection, database.send_hint, CANCELLED)


def pushes(database: Channel) -> bool:
    """Return whether a wait ends when something happens, not only when its time is over."""
    has_channel = conf.get("TOOSIMPLEQ_REDIS_URL") or database.listener is not None
    return bool(conf.get("TOOSIMPLEQ_NOTIFY") and has_channel)


def mode(database: Channel) -> str:
    """Return in a word how new work is noticed, for people."""
    if not conf.get("TOOSIMPLEQ_NOTIFY"):
        return "off"
    if conf.get("TOOSIMPLEQ_REDIS_URL"):
        return "redis"
    return "tick" if database.listener is None else "database"


def sender(database: Channel) -> Send | None:
    """Return what sends a hint, or None where nothing listens."""
    return redis_module().send if conf.get("TOOSIMPLEQ_REDIS_URL") else database.send_hint


def redis_module() -> Any:
    """Return the module for Redis. Raises ImproperlyConfigured when the client is missing."""
    try:
        from django_toosimple_q.wakeups import redis
    except ImportError as error:
        raise ImproperlyConfigured(
            "TOOSIMPLEQ_REDIS_URL is set and the package redis is not installed. "
            "Install django-toosimple-q[redis], or remove the setting."
        ) from error
    return redis
