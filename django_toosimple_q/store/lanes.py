"""Limited tasks: each has a lane of its own in its queue, and a row here that claims lock.

What runs is counted, not kept in a counter: there is nothing to repair after a crash. A lane that
is full or used up is left out by the look at what waits, so a claim neither waits for its lock nor
reads over its rows.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.limits import room
from django_toosimple_q.models import Lane
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.dialect.base import TABLE, Place


class Openings(NamedTuple):
    """How many calls may start now, by lane, and when the next lane opens by itself."""

    rooms: dict[str, int]
    next_open: datetime | None


def openings(connection: Any, names: Collection[str], now: datetime) -> Openings:
    """Return what may start in these lanes. Locks nothing, so it may be out of date at once."""
    lanes = Lane.objects.using(connection.alias).filter(name__in=names)
    return _measure(connection, names, dict(lanes.values_list("name", "used_until")), now)


def lock(connection: Any, names: Collection[str], now: datetime) -> dict[str, int]:
    """Return how many calls may start, by lane, and let nobody else claim there meanwhile.

    Inside the caller's transaction; `use` says how many it took. Names come in one order, so two
    claims do not wait for each other in a ring.
    """
    lanes = Lane.objects.using(connection.alias)
    locked = lanes.select_for_update().filter(name__in=names).order_by("name")
    found = dict(locked.values_list("name", "used_until"))
    if len(found) < len(names):
        lanes.bulk_create([Lane(name=name) for name in sorted(names)], ignore_conflicts=True)
        found = dict(locked.values_list("name", "used_until"))
    return _measure(connection, names, found, now).rooms


def use(connection: Any, counts: Mapping[str, int], now: datetime) -> None:
    """Note that so many calls were claimed, by lane, after `lock` in the same transaction.

    Written for every lane: under stricter isolation than READ COMMITTED the write is what makes
    one of two claims fail and repeat.
    """
    lanes = Lane.objects.using(connection.alias).filter(name__in=counts)
    for name, used_until in lanes.order_by("name").values_list("name", "used_until"):
        rate = getattr(tasks_registry.get(name), "rate", None)
        until = rate.use(used_until, now, counts[name]) if rate else now
        Lane.objects.using(connection.alias).filter(name=name).update(used_until=until)


def share(places: Sequence[Place], rooms: Mapping[str, int], limit: int) -> dict[Place, int]:
    """Return how many rows a claim may take from each place, those with none left out.

    A lane that waits in several queues is claimed from one of them, by chance: the room is that of
    the lane, not of each queue.
    """
    one_place = {
        place.lane: place for place in random.sample(places, len(places)) if place.lane in rooms
    }
    shares = {
        place: min(limit, rooms.get(place.lane, limit))
        for place in places
        if one_place.get(place.lane, place) == place
    }
    return {place: share for place, share in shares.items() if share}


def _measure(
    connection: Any, names: Collection[str], used: Mapping[str, datetime | None], now: datetime
) -> Openings:
    running = _running(connection, names)
    rooms: dict[str, int] = {}
    opening = []
    for name in names:
        task = tasks_registry.get(name)
        # Of a task that this code does not know, one at a time: enough to find that out.
        most, rate = (task.max_running, task.rate) if task else (1, None)
        until = used.get(name)
        left = room(most, rate, running=running.get(name, 0), used_until=until, now=now)
        if left is not None:
            rooms[name] = left
        if rate and until and not rate.room(until, now):
            opening.append(rate.opens(until))
    return Openings(rooms, min(opening, default=None))


def _running(connection: Any, names: Collection[str]) -> dict[str, int]:
    marks = ", ".join(["%s"] * len(names))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT lane, COUNT(*) FROM {TABLE} WHERE state = 'PROCESSING'"
            f" AND lane IN ({marks}) GROUP BY lane",
            list(names),
        )
        return dict(cursor.fetchall())
