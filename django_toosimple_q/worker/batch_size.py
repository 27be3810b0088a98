"""How many rows to claim at once: what the slots will begin in a moment, by what was measured."""

from collections.abc import Sequence

# A batch is as large as the slots will begin within this time. Rows that were claimed and have not
# begun after `HOLD_SECONDS` are released, so no estimate keeps them from other workers for long.
BUDGET_SECONDS = 0.05
HOLD_SECONDS = 0.07
LARGEST = 500
# The share of the newest observation in the running mean.
WEIGHT = 0.3
# What a call is expected to take whose task has not run here yet.
UNKNOWN_SECONDS = 0.01


class BatchSize:
    """Grows while tasks are short, falls to one row for each slot when they are long."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.limit = slots
        # The mean duration of each task, by name.
        self.seconds: dict[str, float] = {}

    def observe(self, name: str, seconds: float) -> None:
        """Take in how long a call of a task took."""
        mean = self.seconds.get(name)
        self.seconds[name] = seconds if mean is None else mean + WEIGHT * (seconds - mean)

    def fit(self, names: Sequence[str]) -> int:
        """Return how many of these claimed calls begin in time, and choose the next limit."""
        budget = BUDGET_SECONDS * self.slots
        fitting, total = 0, 0.0
        for name in names:
            if total >= budget and fitting >= self.slots:
                self.limit = fitting
                return fitting
            total += self.seconds.get(name, UNKNOWN_SECONDS)
            fitting += 1
        if fitting >= self.limit:
            # At most double: one lucky batch says little about the next.
            affordable = int(budget * fitting / max(total, 1e-9))
            self.limit = max(self.slots, min(affordable, self.limit * 2, LARGEST))
        return fitting

    def start_over(self) -> None:
        """Claim one row for each slot again: the last estimate was wrong."""
        self.limit = self.slots
