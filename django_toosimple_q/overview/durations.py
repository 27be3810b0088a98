"""How long calls waited or ran, as a histogram."""

from collections.abc import Sequence
from dataclasses import dataclass

from django_toosimple_q.histogram import quantile


@dataclass(frozen=True)
class Durations:
    """Counts by the bins of `histogram.BOUNDS`, and the sum of the durations in seconds."""

    counts: Sequence[int]
    seconds: float

    @property
    def p50(self) -> float | None:
        """Return what half of them do not exceed, in seconds; None of none."""
        return quantile(self.counts, 0.5)

    @property
    def p95(self) -> float | None:
        """Return what 95 of a hundred do not exceed, in seconds; None of none."""
        return quantile(self.counts, 0.95)
