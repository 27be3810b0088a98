"""Recover the rows of a worker whose process was seen to die, by what is known of each."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.databases.base import marks
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store.claim import Claimant, owned
from django_toosimple_q.store.release import release
from django_toosimple_q.store.rescue import BATCH, Rescue, interrupt_where
from django_toosimple_q.store.transaction import in_bounded_transaction
from django_toosimple_q.store.unreadable import read


class Recovery(NamedTuple):
    """What became of a dead worker's rows; `locked` ones have to wait for another session."""

    label: str
    rescued: list[Rescue]
    released: int
    locked: int


@in_bounded_transaction
def recover(
    connection: Any,
    dead: Claimant,
    running: Collection[int] | None,
    ended: Collection[int],
    how: str,
    now: datetime,
) -> Recovery:
    """Rescue what ran, release what had not started, and declare the worker dead.

    Rows that had ended run again, since their outcome is lost, but do not count as crashes. With
    `running` None, any row that has not ended may have run. `how` the process ended becomes a part
    of the error. A row that was rescued meanwhile stays as it is.
    """
    workers = WorkerStatus.objects.using(connection.alias)
    worker = workers.select_for_update().filter(pk=dead.worker_id, incarnation=dead.incarnation)
    row = worker.first()
    if row is None:
        # Another worker has its label now, and rescued its rows when it registered.
        return Recovery("", [], 0, 0)
    if row.stopped is None and row.rescued is None:
        worker.update(rescued=now)

    mine = read(owned(dead.worker_id))
    late = [one.pk for one in mine if one.pk in ended]
    crashed = [one.pk for one in mine if one.pk not in ended and _may_run(one.pk, running)]
    started = {*late, *crashed}
    released = release([one for one in mine if one.pk not in started], dead.worker_id, now)
    rescued = _interrupt(connection, dead, late, how, now, crashes=0)
    rescued += _interrupt(connection, dead, crashed, how, now, crashes=1)
    return Recovery(row.label, rescued, len(released), len(mine) - len(released) - len(rescued))


def _may_run(pk: int, running: Collection[int] | None) -> bool:
    return running is None or pk in running


def _interrupt(
    connection: Any, dead: Claimant, ids: list[int], how: str, now: datetime, *, crashes: int
) -> list[Rescue]:
    rescued: list[Rescue] = []
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        where = f"state = 'PROCESSING' AND worker_id = %s AND id IN ({marks(some)})"
        rescued += interrupt_where(
            connection, where, [dead.worker_id, *some], now, "its worker died", how, crashes
        )
    return rescued
