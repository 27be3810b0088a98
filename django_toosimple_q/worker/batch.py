"""How many rows to claim at once: what the slots will run in a moment, by what was seen."""

BUDGET_SECONDS = 0.05
LARGEST = 500
# The share of the newest observation in the running mean.
WEIGHT = 0.3


class BatchSize:
    """Grows while tasks are short, falls to one row for each slot when they are long."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self.mean_seconds: float | None = None
        self.limit = slots

    def observe(self, count: int, seconds: float) -> None:
        """Take in that `count` tasks took `seconds` together, in one slot."""
        if not count:
            return
        each = seconds / count
        mean = self.mean_seconds
        self.mean_seconds = each if mean is None else mean + WEIGHT * (each - mean)
        fitting = int(BUDGET_SECONDS / max(self.mean_seconds, 1e-9)) * self.slots
        # At most double: one lucky batch says little about the next.
        self.limit = max(self.slots, min(fitting, self.limit * 2, LARGEST))
