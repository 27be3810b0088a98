"""How many calls of a limited task may start now: pure maths, no clock, no database.

Starts are spaced: `10/m` is one start every six seconds, not ten at once and then none for a
minute, so no window of a minute has more than ten. This is the virtual scheduling form of the
generic cell rate algorithm (ITU-T I.371). Its only memory is the moment until which the rate is
used up.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FORM = 'Use "COUNT/UNIT" with a whole number above 0 and s, m, h or d, such as "10/m".'
# Starts closer together than this may come in small bunches, as workers do not claim more often.
BUNCH = timedelta(seconds=0.05)


@dataclass(frozen=True)
class Rate:
    """At most `count` starts in any window of `period`."""

    count: int
    period: timedelta

    @classmethod
    def parse(cls, text: object) -> "Rate":
        """Return the rate for a text such as "10/m". Raises `ValueError` with the cure."""
        found = re.fullmatch(r"([0-9]{1,9})/([smhd])", text) if isinstance(text, str) else None
        if found is None or int(found[1]) < 1:
            raise ValueError(FORM)
        return cls(int(found[1]), timedelta(seconds=UNITS[found[2]]))

    @property
    def bunch(self) -> timedelta:
        """Return how much earlier than its even spacing a start may come."""
        return BUNCH if self.period / self.count < BUNCH else timedelta(0)

    @property
    def interval(self) -> timedelta:
        """Return the time that one start uses up, including what bunches could add to a window."""
        micro = timedelta(microseconds=1)
        return ceil(Fraction((self.period + self.bunch) // micro, self.count)) * micro

    def room(self, used_until: datetime | None, now: datetime) -> int:
        """Return how many calls may start now."""
        ahead = max(self.bounded(used_until, now), now) - now
        return max(0, (self.bunch - ahead) // self.interval + 1)

    def use(self, used_until: datetime | None, now: datetime, count: int) -> datetime:
        """Return until when the rate is used up after `count` more calls start."""
        return max(self.bounded(used_until, now), now) + count * self.interval

    def opens(self, used_until: datetime) -> datetime:
        """Return when the next call may start."""
        return used_until - self.bunch

    def bounded(self, used_until: datetime | None, now: datetime) -> datetime:
        """Return until when the rate can be used up, given what is stored.

        Starts that it allows use up no more. What lies later was stored by a clock that was ahead,
        or under a slower rate.
        """
        return min(used_until or now, now + self.interval + self.bunch)


def room(
    max_running: int | None,
    rate: Rate | None,
    *,
    running: int,
    used_until: datetime | None,
    now: datetime,
) -> int | None:
    """Return how many more calls may start now under both limits, or None without a limit."""
    rooms = []
    if max_running is not None:
        rooms.append(max(0, max_running - running))
    if rate is not None:
        rooms.append(rate.room(used_until, now))
    return min(rooms, default=None)
