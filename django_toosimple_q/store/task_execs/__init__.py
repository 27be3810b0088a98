"""The life of a TaskExec row, from enqueue to prune; each function is one transaction step."""

from django_toosimple_q.store.task_execs.claim import Claimant, Waiting, claim, look, owned, wake
from django_toosimple_q.store.task_execs.enqueue import enqueue, enqueue_many, requeue
from django_toosimple_q.store.task_execs.finish import finish, hand_back, turn_over
from django_toosimple_q.store.task_execs.rescue import orphans, rescue, rescue_orphans, revive

__all__ = [
    "Claimant",
    "Waiting",
    "claim",
    "enqueue",
    "enqueue_many",
    "finish",
    "hand_back",
    "look",
    "orphans",
    "owned",
    "requeue",
    "rescue",
    "rescue_orphans",
    "revive",
    "turn_over",
    "wake",
]
