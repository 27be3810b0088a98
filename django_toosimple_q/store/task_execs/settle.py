"""Settle the rows of a worker whose process was seen to die, by what is known of each."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.notify import announce, sender
from django_toosimple_q.store.dialect import dialect_of
from django_toosimple_q.store.step import step
from django_toosimple_q.store.task_execs.claim import Claimant, owned
from django_toosimple_q.store.task_execs.finish import hand_back
from django_toosimple_q.store.task_execs.rescue import BATCH, Rescue, interrupt_where


class Settlement(NamedTuple):
    """What became of a dead worker's rows; `left` are locked by somebody else for now."""

    label: str
    rescued: list[Rescue]
    handed_back: int
    left: int


@step
def settle(
    connection: Any,
    dead: Claimant,
    running: Collection[int] | None,
    ended: Collection[int],
    how: str,
    now: datetime,
) -> Settlement:
    """Rescue what ran, queue again what had not begun, and declare the worker dead.

    Rows that had ended run again, since their outcome is lost, but nobody died of them. With
    `running` None, any that has not ended may have run. `how` the process ended becomes a part of
    the error. A row that somebody else has rescued meanwhile is left as it is.
    """
    workers = WorkerStatus.objects.using(connection.alias)
    worker = workers.select_for_update().filter(pk=dead.worker_id, incarnation=dead.incarnation)
    row = worker.first()
    if row is None:
        # Its label was taken over: what it held was rescued then.
        return Settlement("", [], 0, 0)
    if row.stopped is None and row.rescued is None:
        worker.update(rescued=now)

    mine = owned(dead.worker_id)
    late = [one.pk for one in mine if one.pk in ended]
    deadly = [one.pk for one in mine if one.pk not in ended and _may_run(one.pk, running)]
    begun = {*late, *deadly}
    returned = hand_back([one for one in mine if one.pk not in begun], dead.worker_id, now)
    rescued = _interrupt(connection, dead, late, how, now, deaths=0)
    rescued += _interrupt(connection, dead, deadly, how, now, deaths=1)
    if returned or rescued:
        announce(connection, sender(dialect_of(connection).family))
    return Settlement(row.label, rescued, len(returned), len(mine) - len(returned) - len(rescued))


def _may_run(pk: int, running: Collection[int] | None) -> bool:
    return running is None or pk in running


def _interrupt(
    connection: Any, dead: Claimant, ids: list[int], how: str, now: datetime, *, deaths: int
) -> list[Rescue]:
    rescued: list[Rescue] = []
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        marks = ", ".join(["%s"] * len(some))
        where = f"state = 'PROCESSING' AND worker_id = %s AND id IN ({marks})"
        rescued += interrupt_where(
            connection, where, [dead.worker_id, *some], now, "its worker died", how, deaths
        )
    return rescued
