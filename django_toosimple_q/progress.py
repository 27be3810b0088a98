"""How far a running task is: the value that it reports, checked and bounded."""

import math
from dataclasses import dataclass
from typing import Any

from django_toosimple_q.exceptions import InvalidProgress, shown
from django_toosimple_q.text import clean

LONGEST_MESSAGE = 255


@dataclass(slots=True)
class Progress:
    """What a task has reported last: how much is done, of how much, and what it does now.

    `stored` is set by the worker once the row has it.
    """

    done: float
    total: float | None
    message: str
    stored: bool = False

    @classmethod
    def read(cls, done: Any, total: Any, message: Any) -> "Progress":
        """Return a report of a task. Raises `InvalidProgress` for what cannot be right."""
        if not isinstance(message, str):
            raise InvalidProgress(
                f"the message of a progress cannot be {shown(message)}. Use text."
            )
        text = clean(message)
        if len(text) > LONGEST_MESSAGE:
            text = f"{text[: LONGEST_MESSAGE - 1]}…"
        whole = None if total is None else _amount(total, "total")
        return cls(_amount(done, "done"), whole, text)


def share(done: float | None, total: float | None) -> float | None:
    """Return how much of the total is done, from 0 to 1; None if that is not known."""
    if done is None or total is None:
        return None
    return min(done / total, 1.0) if total else 1.0


def amount(done: float | None, total: float | None) -> str:
    """Return an amount in words, as "3 of 12"; "" for one that was never reported."""
    if done is None:
        return ""
    return number(done) if total is None else f"{number(done)} of {number(total)}"


def number(value: float) -> str:
    """Return a number without decimals that say nothing."""
    return f"{value:.0f}" if value.is_integer() else f"{value:g}"


def _amount(value: Any, name: str) -> float:
    try:
        # Of numpy and decimal, too; texts have no __float__.
        number = math.nan if isinstance(value, bool) else float(value.__float__())
    except (AttributeError, TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise InvalidProgress(
            f"{name} of a progress cannot be {shown(value)}. Use a number, 0 or more."
        )
    return number
