"""What this operating system offers to a worker. Windows lacks all of it, macOS nothing."""

import os
import signal

CAN_FORK = hasattr(os, "fork")
# What interrupts a task in the main thread, also while it waits in C code.
CAN_ALARM = hasattr(signal, "SIGALRM") and hasattr(signal, "setitimer")
# Asking for a process with signal 0 ends it on Windows.
CAN_ASK_FOR_PROCESSES = CAN_FORK
# What ends a worker after its grace; a terminal of Windows sends SIGBREAK, and no SIGTERM.
TERMINATING: tuple[int, ...] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


def limits(*, inline: bool) -> str:
    """Return what a worker cannot do here, as a part of a sentence; "" when it can do all.

    One that runs `inline` runs its tasks in the calling thread.
    """
    missing = []
    if not CAN_ALARM and inline:
        missing.append("tasks run without their timeouts")
    elif not CAN_ALARM:
        missing.append("tasks run in threads, where a timeout waits until C code returns")
    if not CAN_FORK and not inline:
        missing.append("--processes is not available")
    if not CAN_ASK_FOR_PROCESSES:
        missing.append("a worker that is killed counts as dead after its --timeout, not at once")
    if not CAN_FORK:
        missing.append("a worker that a C extension blocks is not ended")
    return ", ".join(missing)
