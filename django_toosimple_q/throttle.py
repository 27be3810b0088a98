"""Keep what goes on for long from being reported all the time."""


class Throttle:
    """Lets one report through, and the next one after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last: float | None = None

    def passes(self, now: float) -> bool:
        """Return whether to report now, by the monotonic clock. If so, count it as reported."""
        if self.last is not None and now - self.last < self.seconds:
            return False
        self.last = now
        return True
