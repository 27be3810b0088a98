"""Be the first process of a container: run the command in a child, and reap every orphan.

The system gives orphans to process 1. Were that the worker, nothing would tell a child of a task,
which the task waits for, from an orphan.
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Any

from django.db import connections

from django_toosimple_q.worker.platform import CAN_FORK
from django_toosimple_q.worker.processes.shutdown import STOPPING

# As shells report a process that a signal has ended.
ENDED_BY_SIGNAL = 128


def is_first() -> bool:
    """Return whether this process inherits orphans, since it is the first one of its container."""
    return CAN_FORK and os.getpid() == 1


def continue_in_child() -> None:
    """Return in a child process. The present one ends when that does, with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    connections.close_all()
    # What arrives before there is a child, or before it has its handlers, is not lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    child = os.fork()
    if child:
        os._exit(watch(child))
    # A Ctrl-C in the terminal reaches process 1 only, which passes it on once.
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def watch(child: int) -> int:
    """Pass signals on and reap all that ends, until the child has; return its exit code."""

    def pass_on(number: int, frame: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in STOPPING:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else ENDED_BY_SIGNAL - code
