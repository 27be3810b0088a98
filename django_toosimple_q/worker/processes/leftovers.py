"""What tasks leave behind that keeps a process alive: threads, and children of multiprocessing."""

import os
import sys
import threading
import time
from typing import Any

from django_toosimple_q import signals

# Pools of idle threads end by themselves once the interpreter tells them to: what is left later
# than that is a leftover.
SHORTEST_SECONDS = 1.0


def end_after(grace_seconds: float, code: int) -> None:
    """Let the process end as any other does, but end it with `code` when the grace is over.

    At its end the interpreter waits for threads that are no daemons, for children of
    multiprocessing, and for whatever is registered with `atexit`.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    threading.Thread(
        target=_end, args=(grace_seconds, code), name="toosimpleq-end", daemon=True
    ).start()


def report(seconds: float) -> None:
    """Report what is left, if anything, and in how many seconds the process ends all the same."""
    names = leftovers()
    if names:
        signals.leftovers_found.send_robust(sender=os.getpid(), leftovers=names, seconds=seconds)


def leftovers() -> list[str]:
    """Return the names of what keeps this process from ending."""
    threads = [
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]
    return [*threads, *(f"process {child.name} ({child.pid})" for child in _children())]


def end_children() -> None:
    """End children of multiprocessing, which would outlive a process that ends at once."""
    for child in _children():
        child.terminate()


def _end(grace_seconds: float, code: int) -> None:
    began = time.monotonic()
    ends = began + max(grace_seconds, SHORTEST_SECONDS)
    time.sleep(SHORTEST_SECONDS)
    report(max(ends - time.monotonic(), 0))
    time.sleep(max(ends - time.monotonic(), 0))
    end_children()
    os._exit(code)


def _children() -> list[Any]:
    # Not imported for this: no task has used it then.
    multiprocessing = sys.modules.get("multiprocessing")
    return [] if multiprocessing is None else multiprocessing.active_children()
