"""Durations as pages write them: with the units and numbers of the active language."""

from datetime import timedelta

from django.utils.formats import get_format
from django.utils.translation import pgettext_lazy

from django_toosimple_q import text

UNITS = {
    "d": pgettext_lazy("days", "d"),
    "h": pgettext_lazy("hours", "h"),
    "min": pgettext_lazy("minutes", "min"),
    "s": pgettext_lazy("seconds", "s"),
}


def span(delta: timedelta, units: int = 2) -> str:
    """Return a duration in its largest units, or to the millisecond below ten seconds."""
    separator = get_format("DECIMAL_SEPARATOR")
    parts = text.span(delta, units).split(" ")
    return " ".join(str(UNITS.get(part, part.replace(".", separator))) for part in parts)
