"""When a failed task runs again: pure maths, no clock, no database."""

import random
from collections.abc import Callable
from typing import NamedTuple

FOR_EVER = -1
LONGEST_DELAY_SECONDS = 365 * 24 * 3600


class NextAttempt(NamedTuple):
    """How long the next attempt waits, and the retries and delay that its row gets."""

    delay_seconds: float
    retries: int
    retry_delay: int


def next_attempt(
    retries: int,
    retry_delay: int,
    *,
    delay_max: int | None = None,
    jitter: bool = False,
    asked_delay: float | None = None,
    count: bool = True,
    draw: Callable[[], float] = random.random,
) -> NextAttempt | None:
    """Return the attempt that follows a failure, or None if no retries are left.

    `retries` (-1: for ever) and `retry_delay` (seconds) are those of the failed attempt. The delay
    doubles with each attempt up to `delay_max`. `jitter` then takes a random share of it, as
    Celery's `retry_jitter` does. `asked_delay` is the delay of a `Retry` that the task raised. It
    does not affect the doubling. With `count` false, no retry is used up.

    Raises ValueError for an `asked_delay` that is no number.
    """
    if retries == 0 and count:
        return None

    left = retries if retries == FOR_EVER or not count else retries - 1
    if asked_delay is not None:
        return NextAttempt(bounded(asked_delay), left, retry_delay)

    ceiling = LONGEST_DELAY_SECONDS if delay_max is None else delay_max
    delay: float = min(retry_delay, ceiling)
    if jitter:
        delay *= draw()
    return NextAttempt(delay, left, min(retry_delay * 2, LONGEST_DELAY_SECONDS))


def bounded(seconds: float) -> float:
    """Return a delay as one that can be waited for: from 0 to a year.

    Raises ValueError for what is no number.
    """
    if not isinstance(seconds, int | float) or seconds != seconds:
        raise ValueError(f"a delay cannot be {seconds!r}. Use a number of seconds.")
    return float(min(max(seconds, 0), LONGEST_DELAY_SECONDS))
