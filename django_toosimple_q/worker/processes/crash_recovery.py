"""After the death of a worker process: recover its rows at once, by what its scoreboard shows.

A process of its own does that. So the supervisor holds no connection that an unresponsive database
would block, and none that its next child would share.
"""

import os
import signal
import time
import traceback

from django.db import DatabaseError, InterfaceError, connections

from django_toosimple_q import signals
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.task_execs import Claimant
from django_toosimple_q.worker.outage import Outage
from django_toosimple_q.worker.processes.scoreboard import Snapshot
from django_toosimple_q.worker.processes.shutdown import STOPPING

# After that the rows are left to any worker that finds that the process is gone.
PATIENCE_SECONDS = 10
AGAIN_SECONDS = 0.05
NORMAL_CODES = (0, 77)


def crashed(snapshot: Snapshot, code: int) -> bool:
    """Return whether a process ended in another way than a worker does, whatever its exit code."""
    return not snapshot.exited or code not in NORMAL_CODES


def recover_in_process(snapshot: Snapshot, code: int, parent_pipe: int) -> int:
    """Recover the rows of a dead worker in a new process; return its id.

    That process closes the `parent_pipe`, the end by which the supervisor holds its workers.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(parent_pipe)
        # What stops the supervisor must not keep rows from being recovered.
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE_SECONDS)
        recover(snapshot, describe(code))
    except BaseException:
        traceback.print_exc()
    finally:
        connections.close_all()
        os._exit(0)


def recover(snapshot: Snapshot, how: str) -> None:
    """Recover the rows of a dead worker; wait for a database that is out of reach."""
    outage, label = Outage(), f"#{snapshot.worker_id}"
    while True:
        try:
            locked = recover_once(snapshot, how)
        except (DatabaseError, InterfaceError) as error:
            time.sleep(outage.lost(error, label))
            continue
        outage.back(label)
        if not locked:
            return
        # The database has not noticed yet that the process is gone, and keeps its locks.
        time.sleep(AGAIN_SECONDS)


def recover_once(snapshot: Snapshot, how: str) -> int:
    """Recover what can be recovered now; return how many rows are locked."""
    dead = Claimant(snapshot.worker_id, snapshot.incarnation)
    running = None if snapshot.full else snapshot.running
    label, rescued, released, locked = task_execs.recover(
        dead, running, snapshot.ended, how, workers.clock()
    )
    for one in rescued:
        signals.task_rescued.send_robust(sender=label, rescue=one, label=label)
    if released:
        signals.tasks_released.send_robust(sender=label, label=label, count=released)
    return locked


def describe(code: int) -> str:
    """Return how a process ended in words, given its exit code or minus its signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"exit code {code} ({signal.Signals(-code).name})"
    except ValueError:  # a real-time signal has no name
        return f"exit code {code}"
