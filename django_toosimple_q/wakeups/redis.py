"""Hints by Redis pub/sub, for MariaDB, MySQL and poolers. Redis keeps nothing: flush it at will."""

import socket
import threading
from functools import lru_cache
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from django_toosimple_q import conf, signals
from django_toosimple_q.wakeups.hints import WORK, Hints

PATIENCE_SECONDS = 1.0
RECONNECT_SECONDS = 1.0
# A subscription is quiet for hours: probes tell a lost network from that.
PROBES = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 2))
    if hasattr(socket, name)
}
PROBED = {"socket_keepalive": True, "socket_keepalive_options": PROBES}


@lru_cache(maxsize=4)
def client(url: str) -> Any:
    """Return the client for a URL (rediss:// for TLS, password inside)."""
    # A socket in the file system has no network to lose, and no such options.
    options: dict[str, Any] = {} if url.startswith("unix:") else PROBED
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=PATIENCE_SECONDS,
        socket_timeout=PATIENCE_SECONDS,
        **options,
        retry=Retry(ExponentialBackoff(), 0),
    )


def send(connection: Any, channel: str) -> None:
    """Publish a hint."""
    client(conf.get("TOOSIMPLEQ_REDIS_URL")).publish(channel, b"")


class RedisHints(Hints):
    """Listens in a thread, since the client may block while it connects."""

    debounced = True

    def __init__(self, wakeup: Any, url: str, channel: str = WORK) -> None:
        super().__init__(wakeup)
        self.url = url
        self.channel = channel
        self.stopping = threading.Event()
        self.failing = False
        self.thread = threading.Thread(target=self._run, name="toosimpleq-redis", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.stopping.set()
        self.thread.join(2 * PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                with client(self.url).pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.subscribe(self.channel)
                    self._back()
                    self._listen(subscription)
            except (redis.RedisError, OSError) as error:
                self._lost(error)
                self.stopping.wait(RECONNECT_SECONDS)

    def _listen(self, subscription: Any) -> None:
        while not self.stopping.is_set():
            if subscription.get_message(timeout=PATIENCE_SECONDS) is not None:
                self.wakeup.set()

    def _back(self) -> None:
        if self.failing:
            signals.listening_restored.send_robust(sender="redis")
        self.failing = False
        # A hint from before this moment was missed: check once.
        self.wakeup.set()

    def _lost(self, error: Exception) -> None:
        if not self.failing:
            signals.listening_failed.send_robust(sender="redis", error=error)
        self.failing = True
