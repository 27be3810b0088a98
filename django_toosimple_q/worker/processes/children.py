"""Child processes: how they ended, reaping them, and ending them with their parent."""

import os
import signal
import threading
from collections.abc import Callable, Collection
from contextlib import suppress

# Some systems only say how a process ended by reaping it (macOS before Python 3.13).
CAN_PEEK = hasattr(os, "waitid")


def exit_code(pid: int) -> int | None:
    """Return how a child ended (minus the signal that did it), or None while it runs.

    Until it is reaped, every other process takes it for alive and leaves its rows alone.
    """
    if not CAN_PEEK:
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def reap(pid: int) -> None:
    """Remove a child that has ended from the system's table."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def reap_strangers(own: Collection[int]) -> None:
    """Reap what is not ours: the first process of a container inherits every orphan in it."""
    while CAN_PEEK:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        reap(ended.si_pid)


def die_with_parent(parent_pipe: int, on_byte: Callable[[], None] = lambda: None) -> None:
    """Stop as on SIGTERM when the parent's end of the pipe is closed, as it is when it dies.

    `on_byte` is called for each byte that the parent writes.
    """

    def watch() -> None:
        while os.read(parent_pipe, 1):
            on_byte()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="toosimpleq-parent", daemon=True).start()
