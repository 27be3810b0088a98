"""Datetimes: what every database stores and gives back, and aware ones to compute with.

The queue stores instants, in UTC where a column has no time zone, and computes with aware
datetimes. Naive ones are taken and given only where a project without USE_TZ meets them.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, overload

from django.utils import timezone

from django_toosimple_q import conf
from django_toosimple_q.exceptions import InvalidDue

# A DATETIME of MariaDB begins with the year 1000, Python's end with the year 9999. Both read what
# they stored in the zone of the session or the project, up to a day away: PostgreSQL takes
# datetime.max of New York as a moment of the year 10000, which then cannot be read. A whole year
# from either end no zone gets there, and nothing has to be converted to find out.
FIRST_YEAR, LAST_YEAR = 1001, 9998
# A stored moment that should lie in the past may be this far ahead: clocks of hosts differ.
AHEAD = timedelta(minutes=1)
STORABLE = f"Use a datetime of the years {FIRST_YEAR} to {LAST_YEAR}."


def check_moment(value: Any, what: str) -> None:
    """Raise `InvalidDue` unless `value` is a datetime that any database stores and gives back.

    `what` names the value in the message.
    """
    if not isinstance(value, datetime):
        raise InvalidDue(
            f"{what} must be a datetime, got {value!r} ({type(value).__name__}). "
            "Use timezone.now() + timedelta(...)."
        )
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise InvalidDue(f"{what} cannot be {value!r}: some database cannot keep it. {STORABLE}")


@overload
def resolve_due(due: None) -> None: ...
@overload
def resolve_due(due: datetime) -> datetime: ...
def resolve_due(due: Any) -> datetime | None:
    """Return `due` as the project has datetimes: a naive one is in the current time zone.

    Raises `InvalidDue` for anything but None and a datetime that can be stored.
    """
    if due is None:
        return None
    check_moment(due, "due")
    return project_datetime(due)


def project_datetime(value: datetime) -> datetime:
    """Return `value` aware or naive, as the project's USE_TZ has it.

    Of the hour that a clock change repeats, `fold` tells the first from the second.
    """
    if conf.uses_time_zones():
        return timezone.make_aware(value) if value.tzinfo is None else value
    if value.tzinfo is None:
        return value
    return timezone.make_naive(value, timezone.get_default_timezone())


def aware(moment: datetime) -> datetime:
    """Return a datetime of the project in UTC. A naive one is in TIME_ZONE."""
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.get_default_timezone())
    return moment.astimezone(UTC)


def current_moment() -> datetime:
    """Return the time by this host's clock, aware."""
    now = timezone.now()
    # Naive without USE_TZ: in the hour that a clock change repeats, it would be ambiguous.
    return datetime.now(UTC) if now.tzinfo is None else now
