"""After the death of a worker process: settle its rows at once, by what its board tells.

That is done in a process of its own: the supervisor then holds no connection that a silent
database keeps, and none that its next child would share.
"""

import os
import signal
import time
import traceback

from django.db import DatabaseError, InterfaceError, connections

from django_toosimple_q import signals
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.task_execs import Claimant
from django_toosimple_q.worker.board import Legacy
from django_toosimple_q.worker.trouble import Trouble

# After that the rows are left to whoever finds that the process is gone.
PATIENCE_SECONDS = 10
AGAIN_SECONDS = 0.05
NORMAL_CODES = (0, 77)


def died(legacy: Legacy, code: int) -> bool:
    """Tell whether a process ended otherwise than a worker does, whatever its exit code."""
    return not legacy.orderly or code not in NORMAL_CODES


def settle_beside(legacy: Legacy, code: int, leash: int) -> int:
    """Settle what a worker left in a new process; return its id.

    That process lets go of the `leash`, the end by which the supervisor holds its workers.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(leash)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE_SECONDS)
        settle(legacy, describe(code))
    except BaseException:
        traceback.print_exc()
    finally:
        connections.close_all()
        os._exit(0)


def settle(legacy: Legacy, how: str) -> None:
    """Settle what a worker left; wait for a database that is out of reach."""
    trouble = Trouble(f"#{legacy.worker_id}")
    while True:
        try:
            left = settle_once(legacy, how)
        except (DatabaseError, InterfaceError) as error:
            time.sleep(trouble.lost(error))
            continue
        trouble.back()
        if not left:
            return
        # The database has not noticed yet that the process is gone, and keeps its locks.
        time.sleep(AGAIN_SECONDS)


def settle_once(legacy: Legacy, how: str) -> int:
    """Settle what can be settled now; return how many rows are left."""
    dead = Claimant(legacy.worker_id, legacy.incarnation)
    running = None if legacy.full else legacy.running
    label, rescued, handed_back, left = task_execs.settle(
        dead, running, legacy.ended, how, workers.clock()
    )
    for one in rescued:
        signals.task_rescued.send_robust(sender=label, rescue=one, label=label)
    if handed_back:
        signals.tasks_handed_back.send_robust(sender=label, label=label, count=handed_back)
    return left


def describe(code: int) -> str:
    """Return how a process ended in words, given its exit code or minus its signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"exit code {code} ({signal.Signals(-code).name})"
    except ValueError:  # a real-time signal has no name
        return f"exit code {code}"
