"""Calls that failed for good, grouped by task and error type."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django_toosimple_q.moments import aware
from django_toosimple_q.store import overview as store
from django_toosimple_q.store.dismissals import dismissals

SHOWN_FOR = timedelta(days=7)
PARTS = 24
# Each of them takes ten microseconds to read and to group.
GROUPED = 2000


@dataclass(frozen=True)
class FailureGroup:
    """The failures of a task with one error type in the last seven days.

    first, last: when the first and the last of them ended. parts: how many ended in each hour of
    the last day, oldest first. last_pk: the id of the last one's row. new: how many of them ended
    after the moment that was asked for.
    """

    task_name: str
    error_type: str
    count: int
    first: datetime
    last: datetime
    last_pk: int
    parts: Sequence[int]
    new: int


def open_failures(now: datetime, within: timedelta) -> list[store.Failure]:
    """Return what failed for good in that time and nobody has dismissed, the newest 2,000."""
    dismissed = {key: aware(moment) for key, moment in dismissals().items()}
    return [
        one
        for one in store.failures(now - within, GROUPED)
        if (one.task_name, one.error_type) not in dismissed
        or one.finished > dismissed[one.task_name, one.error_type]
    ]


def failure_groups(now: datetime, new_since: datetime | None = None) -> list[FailureGroup]:
    """Return the groups that nobody has dismissed since they failed last, the newest first.

    Those that ended after `new_since` are counted as new. It looks at the newest 2,000 failures of
    the last seven days.
    """
    groups: dict[tuple[str, str], list[store.Failure]] = {}
    for one in open_failures(now, SHOWN_FOR):
        groups.setdefault((one.task_name, one.error_type), []).append(one)
    return [_group(key, found, now, new_since) for key, found in groups.items()]


def _group(
    key: tuple[str, str], found: Sequence[store.Failure], now: datetime, since: datetime | None
) -> FailureGroup:
    parts = [0] * PARTS
    until = aware(now)
    for one in found:
        ago = int((until - one.finished).total_seconds() // 3600)
        if 0 <= ago < PARTS:
            parts[PARTS - 1 - ago] += 1
    newest, oldest = found[0], found[-1]
    return FailureGroup(
        *key,
        count=len(found),
        first=oldest.finished,
        last=newest.finished,
        last_pk=newest.pk,
        parts=parts,
        new=sum(since is not None and one.finished > since for one in found),
    )
