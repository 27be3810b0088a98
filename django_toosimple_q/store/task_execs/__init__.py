"""The life of a TaskExec row, from enqueue to prune; each function is one transaction step."""

from django_toosimple_q.store.dialect.base import Place
from django_toosimple_q.store.task_execs.atomic import run_atomically
from django_toosimple_q.store.task_execs.cancel import cancel, cancelled
from django_toosimple_q.store.task_execs.claim import (
    Claimant,
    Waiting,
    claim,
    followers,
    look,
    owned,
    wake,
)
from django_toosimple_q.store.task_execs.enqueue import enqueue, enqueue_many, requeue
from django_toosimple_q.store.task_execs.finish import finish, hand_back, stored, turn_over
from django_toosimple_q.store.task_execs.prune import (
    count_expired,
    delete,
    expired,
    prune,
    prune_workers,
)
from django_toosimple_q.store.task_execs.rescue import orphans, rescue, rescue_orphans, revive
from django_toosimple_q.store.task_execs.settle import Settlement, settle

__all__ = [
    "Claimant",
    "Place",
    "Settlement",
    "Waiting",
    "cancel",
    "cancelled",
    "claim",
    "count_expired",
    "delete",
    "enqueue",
    "enqueue_many",
    "expired",
    "finish",
    "followers",
    "hand_back",
    "look",
    "orphans",
    "owned",
    "prune",
    "prune_workers",
    "requeue",
    "rescue",
    "rescue_orphans",
    "revive",
    "run_atomically",
    "settle",
    "stored",
    "turn_over",
    "wake",
]
