"""Pause schedules, and let them go on."""

from datetime import datetime
from typing import Any

from django_toosimple_q.models import ScheduleExec
from django_toosimple_q.store.transaction import in_autocommit, in_transaction


@in_autocommit
def pause(connection: Any, name: str, now: datetime) -> bool:
    """Queue no further call of a schedule. Return False if it was already paused."""
    rows = ScheduleExec.objects.using(connection.alias).filter(name=name, paused=None)
    return bool(rows.update(paused=now))


@in_transaction
def resume(connection: Any, name: str, now: datetime, *, catch_up: bool) -> bool:
    """Let a schedule go on. Return False if it was not paused.

    With `catch_up` it then queues what it missed, else it goes on at its next occurrence.
    """
    rows = ScheduleExec.objects.using(connection.alias).filter(name=name, paused__isnull=False)
    if not catch_up:
        rows.filter(last_due__lt=now).update(last_due=now)
    return bool(rows.update(paused=None))


@in_autocommit
def paused(connection: Any) -> set[str]:
    """Return the names of the schedules that are paused."""
    rows = ScheduleExec.objects.using(connection.alias).filter(paused__isnull=False)
    return set(rows.values_list("name", flat=True))
