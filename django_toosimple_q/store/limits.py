"""Limited tasks: each has a concurrency key, and a row here that its claims lock.

A key whose row another session has locked is passed over: all other calls are claimed meanwhile.

Running calls are counted, not kept in a counter, so there is nothing to repair after a crash. The
backlog leaves out a key that has no room, so a claim neither waits for its lock nor reads its rows.
"""

import random
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.databases import database_of
from django_toosimple_q.databases.base import CONCURRENCY_KEYS, TABLE, Bucket, marks
from django_toosimple_q.models import ConcurrencyKey
from django_toosimple_q.moments import aware
from django_toosimple_q.rate import room
from django_toosimple_q.registry import tasks_registry


class Openings(NamedTuple):
    """How many calls may start now, by key, and when the next key opens by itself."""

    rooms: dict[str, int]
    next_open: datetime | None


def openings(connection: Any, keys: Collection[str], now: datetime) -> Openings:
    """Return what may start under these keys. Locks nothing, so it may be out of date at once."""
    rows = ConcurrencyKey.objects.using(connection.alias).filter(name__in=keys)
    used = {name: until and aware(until) for name, until in rows.values_list("name", "used_until")}
    return _measure(connection, keys, used, now)


def lock(connection: Any, keys: Set[str], now: datetime) -> dict[str, int]:
    """Lock these keys and return how many calls may start under each; 0 where another has one.

    Inside the caller's transaction; `use` records how many it took.
    """
    locked = _lock(connection, keys)
    if len(locked) < len(keys):
        rows = ConcurrencyKey.objects.using(connection.alias)
        missing = keys - set(rows.filter(name__in=keys).values_list("name", flat=True))
        if missing:
            new = [ConcurrencyKey(name=key) for key in sorted(missing)]
            rows.bulk_create(new, ignore_conflicts=True)
            locked |= _lock(connection, missing)
    busy = dict.fromkeys(set(keys).difference(locked), 0)
    return busy | _measure(connection, locked.keys(), locked, now).rooms if locked else busy


def _lock(connection: Any, keys: Collection[str]) -> dict[str, datetime | None]:
    """Lock those of the keys that nobody else has locked; return until when each is used up."""
    database = database_of(connection)
    where = f"name IN ({marks(keys)})"
    rows = database.lock_rows(
        connection,
        ["name", "used_until"],
        where,
        sorted(keys),
        len(keys),
        order="name",
        table=CONCURRENCY_KEYS,
    )
    return {name: database.moment(used_until) for name, used_until in rows}


def use(connection: Any, counts: Mapping[str, int], now: datetime) -> None:
    """Record how many calls were claimed under each key, after `lock` in the same transaction.

    Written for every key: under stricter isolation than READ COMMITTED the write is what makes
    one of two claims fail and repeat.
    """
    rows = ConcurrencyKey.objects.using(connection.alias)
    used = rows.filter(name__in=counts).order_by("name").values_list("name", "used_until")
    for key, used_until in used:
        rate = getattr(tasks_registry.get(key), "rate", None)
        used_until = used_until and aware(used_until)
        until = rate.use(used_until, now, counts[key]) if rate else now
        rows.filter(name=key).update(used_until=until)


def share(buckets: Sequence[Bucket], rooms: Mapping[str, int], limit: int) -> dict[Bucket, int]:
    """Return how many rows a claim may take from each bucket, those with none left out.

    A key that waits in several queues is claimed from one of them, by chance: the room is that of
    the key, not of each queue.
    """
    one_bucket = {
        bucket.concurrency_key: bucket
        for bucket in random.sample(buckets, len(buckets))
        if bucket.concurrency_key in rooms
    }
    shares = {
        bucket: min(limit, rooms.get(bucket.concurrency_key, limit))
        for bucket in buckets
        if one_bucket.get(bucket.concurrency_key, bucket) == bucket
    }
    return {bucket: share for bucket, share in shares.items() if share}


def _measure(
    connection: Any, keys: Collection[str], used: Mapping[str, datetime | None], now: datetime
) -> Openings:
    running = _running(connection, keys)
    rooms: dict[str, int] = {}
    opening = []
    for key in keys:
        task = tasks_registry.get(key)
        # Of a task that this code does not know, one at a time: enough to find that out.
        most, rate = (task.max_running, task.rate) if task else (1, None)
        until = used.get(key)
        left = room(most, rate, running=running.get(key, 0), used_until=until, now=now)
        if left is not None:
            rooms[key] = left
        if rate and until and not rate.room(until, now):
            opening.append(rate.opens(rate.bounded(until, now)))
    return Openings(rooms, min(opening, default=None))


def _running(connection: Any, keys: Collection[str]) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT concurrency_key, COUNT(*) FROM {TABLE} WHERE state = 'PROCESSING'"
            f" AND concurrency_key IN ({marks(keys)}) GROUP BY concurrency_key",
            list(keys),
        )
        return dict(cursor.fetchall())
