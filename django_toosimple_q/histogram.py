"""Histograms of durations in fixed bins, and the quantiles that they give. Pure functions."""

from bisect import bisect_left
from collections.abc import Sequence

# The upper ends of the bins, in seconds, from a millisecond to three hours. The last bin has none.
BOUNDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
    *(100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0),
)
BINS = len(BOUNDS) + 1


def bin_of(seconds: float) -> int:
    """Return the number of the bin that holds a duration; what is below zero counts as zero."""
    return bisect_left(BOUNDS, seconds)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return the duration in seconds that this share (0 to 1) of the counts does not exceed.

    It is found inside its bin as if the counts were spread evenly there, so it is off by less than
    the width of the bin. None without counts; of the last bin, its lower end.
    """
    total = sum(counts)
    if total <= 0:
        return None
    wanted, below = share * total, 0
    for number, count in enumerate(counts):
        if count and below + count >= wanted:
            if number == len(BOUNDS):
                break
            lower = BOUNDS[number - 1] if number else 0.0
            return lower + (BOUNDS[number] - lower) * (wanted - below) / count
        below += count
    return BOUNDS[-1]
