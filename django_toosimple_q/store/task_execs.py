"""The life of a TaskExec row, from enqueue to prune: the table of contents of this folder.

Each function is one transaction.
"""

from django_toosimple_q.databases.base import Bucket
from django_toosimple_q.store.ahead import set_back
from django_toosimple_q.store.atomic import run_atomically
from django_toosimple_q.store.cancel import cancel, cancelled
from django_toosimple_q.store.claim import Claimant, Waiting, backlog, owned, wake
from django_toosimple_q.store.crash_recovery import Recovery, recover
from django_toosimple_q.store.enqueue import enqueue, enqueue_many, requeue
from django_toosimple_q.store.exchange import finish_and_claim
from django_toosimple_q.store.finish import Finished, finish, finish_unlocked, stored
from django_toosimple_q.store.lookup import attempts, failures, find, replacements
from django_toosimple_q.store.progress import store_progress, store_tails
from django_toosimple_q.store.prune import (
    count_expired,
    delete,
    expired,
    prune,
    prune_workers,
    remaining,
)
from django_toosimple_q.store.release import release
from django_toosimple_q.store.reschedule import Change, reschedule, run_now
from django_toosimple_q.store.rescue import orphans, requeue_known, rescue, rescue_orphans
from django_toosimple_q.store.unreadable import read

__all__ = [
    "Bucket",
    "Change",
    "Claimant",
    "Finished",
    "Recovery",
    "Waiting",
    "attempts",
    "backlog",
    "cancel",
    "cancelled",
    "count_expired",
    "delete",
    "enqueue",
    "enqueue_many",
    "expired",
    "failures",
    "find",
    "finish",
    "finish_and_claim",
    "finish_unlocked",
    "orphans",
    "owned",
    "prune",
    "prune_workers",
    "read",
    "recover",
    "release",
    "remaining",
    "replacements",
    "requeue",
    "requeue_known",
    "reschedule",
    "rescue",
    "rescue_orphans",
    "run_atomically",
    "run_now",
    "set_back",
    "store_progress",
    "store_tails",
    "stored",
    "wake",
]
