"""Datetimes in columns without a time zone, which hold UTC."""

from datetime import UTC, datetime

from django_toosimple_q.moments import aware


def from_utc(value: datetime) -> datetime:
    """Return a datetime of such a column.

    Where Django has read it, it was taken in another zone: its digits are what counts.
    """
    return value.replace(tzinfo=UTC)


def in_utc(moment: datetime) -> str:
    """Return a datetime for such a column. Each task writes two of them."""
    return str(aware(moment))[: -len("+00:00")]
