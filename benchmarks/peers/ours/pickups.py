"""Call an idle worker again and again, and tell when each call was committed."""

import random
import time

from django.db import transaction

from peers.ours.tasks import noop

# A worker is attentive for 0.2 s after a hint: it must have gone back to sleep.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.3, 0.6


def run(count: int) -> list[int]:
    """Queue the calls 1 … count and return the monotonic clock at each commit, in nanoseconds."""
    commits: list[int] = []
    for number in range(1, count + 1):
        time.sleep(random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
        with transaction.atomic():
            # Before the hint, which is planned by the call.
            transaction.on_commit(lambda: commits.append(time.monotonic_ns()))
            noop.queue(number)
    return commits
