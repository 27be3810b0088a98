"""Compare `queue()` in turns with Django's own `create` on an equal table, and `queue_many`."""

import statistics
import time
from collections.abc import Callable

from peers.limit.models import Row
from peers.ours.tasks import noop, queue

BLOCK = 50

_text = "1." + "A" * 72  # as long as a small signed payload


def create(number: int) -> None:
    Row.objects.create(task_name="noop", queue="default", args=_text, kwargs=_text)


def run(count: int, at_once: int) -> dict[str, float]:
    """Return the calls a second of each, and the median ratio of `queue()` to `create`."""
    ours, plain = [], []
    seconds_of(queue), seconds_of(create)  # connect and load code before the measurement
    for block in range(max(count // BLOCK, 1)):
        # The first affects the disk for the second, so they also take turns at being first.
        if block % 2:
            ours.append(seconds_of(queue))
            plain.append(seconds_of(create))
        else:
            plain.append(seconds_of(create))
            ours.append(seconds_of(queue))
    began = time.perf_counter()
    noop.queue_many((number,) for number in range(at_once))
    together = time.perf_counter() - began
    return {
        "queue": BLOCK * len(ours) / sum(ours),
        "create": BLOCK * len(plain) / sum(plain),
        "queue_to_create": statistics.median(c / q for q, c in zip(ours, plain, strict=True)),
        "queue_many": at_once / together,
    }


def seconds_of(call: Callable[[int], object]) -> float:
    """Return how long a block of calls takes, each with its own commit."""
    began = time.perf_counter()
    for number in range(BLOCK):
        call(number)
    return time.perf_counter() - began
