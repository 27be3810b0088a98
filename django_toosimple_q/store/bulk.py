"""Act on very many calls, some at a time, and keep with them how far that came."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from django_toosimple_q.models import BulkRun
from django_toosimple_q.store.cancel import cancel_rows
from django_toosimple_q.store.prune import delete_unclaimed
from django_toosimple_q.store.requeue_many import requeue_ended
from django_toosimple_q.store.texts import storable
from django_toosimple_q.store.transaction import (
    in_autocommit,
    in_bounded_transaction,
    in_transaction,
)
from django_toosimple_q.text import clean

# How many rows one transaction changes.
AT_ONCE = 200
# A run that ended is remembered for so long: until then, its task may have to run again.
REMEMBERED = timedelta(days=30)

# Each returns how many rows it changed, and why the first refused one was.
Change = Callable[[Any, Sequence[int], datetime, str], tuple[int, str]]


class Overtaken(Exception):
    """Another run of the same call has come further, as this one was declared dead."""


@in_autocommit
def find(connection: Any, call: int) -> BulkRun | None:
    """Return how far a call has come, or None if it has not begun."""
    return BulkRun.objects.using(connection.alias).filter(pk=call).first()


@in_transaction
def begin(connection: Any, call: int, total: int, now: datetime) -> BulkRun:
    """Return the row of a call that begins, and forget those of long ago."""
    rows = BulkRun.objects.using(connection.alias)
    rows.filter(began__lt=now - REMEMBERED).exclude(pk=call).delete()
    return rows.get_or_create(pk=call, defaults={"total": total, "began": now})[0]


@in_bounded_transaction
def act(
    connection: Any, run: BulkRun, action: str, ids: Sequence[int], now: datetime, reason: str
) -> BulkRun:
    """Act on these rows and note that, and return how far the call has come now.

    The ids ascend and follow `run.last`. `reason` is what cancelled rows say. Raises `Overtaken`,
    and changes nothing, if that was done already.
    """
    changed, refused = CHANGES[action](connection, ids, now, reason)
    rows = BulkRun.objects.using(connection.alias)
    moved = rows.filter(pk=run.pk, last=run.last, ended=None).update(
        last=ids[-1],
        reached=F("reached") + len(ids),
        changed=F("changed") + changed,
        refused=run.refused or storable(connection, clean(refused)),
    )
    if not moved:
        raise Overtaken
    return rows.get(pk=run.pk)


@in_autocommit
def end(connection: Any, run: BulkRun, now: datetime) -> bool:
    """Note that a call has come to its end. Return True to one caller only."""
    rows = BulkRun.objects.using(connection.alias)
    return rows.filter(pk=run.pk, ended=None).update(ended=now) == 1


def _requeue(connection: Any, ids: Sequence[int], now: datetime, reason: str) -> tuple[int, str]:
    return requeue_ended(connection, ids, now)


def _cancel(connection: Any, ids: Sequence[int], now: datetime, reason: str) -> tuple[int, str]:
    return sum(cancel_rows(connection, ids, reason, now)), ""


def _delete(connection: Any, ids: Sequence[int], now: datetime, reason: str) -> tuple[int, str]:
    return delete_unclaimed(connection, ids), ""


def _pass_over(connection: Any, ids: Sequence[int], now: datetime, reason: str) -> tuple[int, str]:
    return 0, ""


PASS_OVER = "pass over"
CHANGES: Mapping[str, Change] = {
    "requeue": _requeue,
    "cancel": _cancel,
    "delete": _delete,
    PASS_OVER: _pass_over,
}
