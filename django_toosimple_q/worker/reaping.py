"""Look at child processes that have ended, and take them out of the system's table."""

import os
from collections.abc import Collection
from contextlib import suppress

# Some systems tell how a process ended only by reaping it (macOS before Python 3.13).
CAN_LOOK = hasattr(os, "waitid")


def exit_code(pid: int) -> int | None:
    """Return how a child ended (minus the signal that did it), or None while it runs.

    Until it is reaped, every other process takes it for alive and leaves its rows alone.
    """
    if not CAN_LOOK:
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def reap(pid: int) -> None:
    """Take a child that has ended out of the table."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def reap_strangers(own: Collection[int]) -> None:
    """Reap what is not ours: the first process of a container inherits every orphan in it."""
    while CAN_LOOK:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        reap(ended.si_pid)
