"""Run one command on the queue of this environment, for the harness.

    python -m peers.drive PEER setup            create the tables
    python -m peers.drive PEER enqueue FROM TO  queue one by one, print the seconds it took
    python -m peers.drive PEER fill FROM TO     queue as fast as possible
    python -m peers.drive PEER mix COUNT        queue a shuffled mix of quick and slow calls
    python -m peers.drive PEER urge FROM TO     queue an urgent call a second, print the monotonic
                                                clock at each commit as JSON
    python -m peers.drive PEER settle COUNT     after a line on stdin: wait until nothing is left,
                                                print the monotonic clock, check the peer's rows
    python -m peers.drive PEER run MODULE …     print the result of peers.PEER.MODULE.run(…) as JSON

A peer is a module `peers.PEER.tasks` with `queue(number)`, `left()`, `finished()` (None if the
queue keeps no rows of succeeded tasks), and optionally `setup()` and `fill(numbers)`. One whose
calls have priorities also has `queue_work(number, milliseconds, urgent=False)`.
"""

import json
import os
import random
import sys
import time
from importlib import import_module
from typing import Any

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.002
QUICK_MILLISECONDS, SLOW_MILLISECONDS = 1, 200
# One call in so many is slow.
SLOW_EVERY = 10
URGENT_EVERY_SECONDS = 1.0


def setup(peer: Any) -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0, run_syncdb=True)
    getattr(peer, "setup", lambda: None)()


def enqueue(peer: Any, first: int, end: int) -> None:
    began = time.perf_counter()
    for number in range(first, end):
        peer.queue(number)
    print(time.perf_counter() - began)


def fill(peer: Any, first: int, end: int) -> None:
    from django.db import transaction

    if hasattr(peer, "fill"):
        peer.fill(range(first, end))
        return
    with transaction.atomic():
        for number in range(first, end):
            peer.queue(number)


def mix(peer: Any, count: int) -> None:
    from django.db import transaction

    slow = random.Random(1).sample(range(count), count // SLOW_EVERY)
    durations = dict.fromkeys(range(count), QUICK_MILLISECONDS)
    durations.update(dict.fromkeys(slow, SLOW_MILLISECONDS))
    with transaction.atomic():
        for number, milliseconds in durations.items():
            peer.queue_work(number, milliseconds)


def urge(peer: Any, first: int, end: int) -> None:
    from django.db import transaction

    commits: list[int] = []
    for number in range(first, end):
        time.sleep(URGENT_EVERY_SECONDS)
        with transaction.atomic():
            transaction.on_commit(lambda: commits.append(time.monotonic_ns()))
            peer.queue_work(number, QUICK_MILLISECONDS, urgent=True)
    print(json.dumps(commits))


def settle(peer: Any, count: int) -> None:
    peer.left()  # connect before the time matters
    print("ready", flush=True)
    sys.stdin.readline()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := peer.left():
        if time.monotonic() > deadline:
            sys.exit(f"{left} calls are left {PATIENCE_SECONDS:g} s after the last one started.")
        time.sleep(POLL_SECONDS)
    print(time.monotonic_ns())
    if peer.finished() not in (None, count):
        sys.exit(f"the queue says that {peer.finished()} of {count} calls succeeded.")


COMMANDS = {step.__name__: step for step in (setup, enqueue, fill, mix, urge, settle)}


def main(name: str, command: str, *values: str) -> None:
    """Set up Django with the peer's settings, and run one command."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = f"peers.{name}.settings"
    django.setup()
    if command == "run":
        module = import_module(f"peers.{name}.{values[0]}")
        print(json.dumps(module.run(*map(_number, values[1:]))))
    else:
        COMMANDS[command](import_module(f"peers.{name}.tasks"), *map(int, values))


def _number(value: str) -> int | str:
    return int(value) if value.isdigit() else value


if __name__ == "__main__":
    main(*sys.argv[1:])
