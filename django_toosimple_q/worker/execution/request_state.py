"""What Django puts back between two requests: queries that DEBUG keeps, and connections of caches.

A worker serves no request, so it does the same between two tasks.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.db import connections
from django.utils.module_loading import import_string


def forget_queries(kept: Iterable[Any] | None = None) -> None:
    """Forget the queries of these connections, by default of all that this thread has.

    What a test counts them with (`assertNumQueries`) forces the log, and keeps it.
    """
    for connection in connections.all(initialized_only=True) if kept is None else kept:
        if connection.queries_log and not connection.force_debug_cursor:
            connection.queries_log.clear()


def any_cache_closes() -> bool:
    """Return whether a cache of this project does anything when it is closed; most do not."""
    return any(
        getattr(kind, "close", BaseCache.close) is not BaseCache.close for kind in cache_classes()
    )


def cache_classes() -> Iterable[Any]:
    """Yield the classes of the caches that CACHES names, as far as they can be imported."""
    for alias in caches:
        with suppress(Exception):  # who uses that cache gets the error
            yield import_string(caches.settings[alias]["BACKEND"])


def close_caches() -> None:
    """Close the caches that this context has used."""
    for cache in caches.all(initialized_only=True):
        with suppress(Exception):  # the backend's own: its server is gone, as the next user finds
            cache.close()
