"""A system without what Windows lacks: importing this takes the names away from the process.

    python -m tests.acceptance.bare worker --until_done

Import it before Django. The standard library is loaded first: on Windows it does without them, here
it does not.
"""

import asyncio  # noqa: F401
import concurrent.futures  # noqa: F401
import os
import pathlib
import select
import selectors
import signal
import subprocess
import sys
import tempfile  # noqa: F401

NAMES = {
    os: (
        *("fork", "forkpty", "register_at_fork", "set_blocking", "get_blocking", "sysconf"),
        *("setpgid", "getpgid", "setsid", "killpg", "wait", "wait3", "wait4", "waitid"),
        *("P_PID", "P_ALL", "WEXITED", "WNOWAIT", "CLD_EXITED", "O_NONBLOCK"),
    ),
    signal: (
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGSTOP"),
        *("setitimer", "getitimer", "alarm", "pause", "ITIMER_REAL", "siginterrupt", "sigwait"),
        *("pthread_sigmask", "pthread_kill", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"),
    ),
    select: ("poll", "epoll", "kqueue", "devpoll"),
    selectors: ("PollSelector", "EpollSelector", "KqueueSelector", "DevpollSelector"),
}
MODULES = ("fcntl", "grp", "pwd", "resource", "termios")


def take_away() -> None:
    """Remove the names and modules, and what Linux has instead of them."""
    # What a terminal of Windows sends.
    signal.SIGBREAK = signal.SIGUSR1  # type: ignore[attr-defined]
    for module, names in NAMES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    selectors.DefaultSelector = selectors.SelectSelector  # type: ignore[misc]
    subprocess._PopenSelector = selectors.SelectSelector  # type: ignore[attr-defined]
    os.kill = kill
    os.pipe = pipe
    pathlib.Path.read_text = read_text  # type: ignore[method-assign]


_kill, _read_text = os.kill, pathlib.Path.read_text
_pipe = os.pipe


def kill(pid: int, number: int) -> None:
    """End a process, as `os.kill` does on Windows with any signal but that of its terminal."""
    if number == 0:
        raise AssertionError(f"on Windows this ends process {pid}")
    _kill(pid, number)


def pipe() -> tuple[int, int]:
    """Return a pipe. On Windows nothing waits for it, and it blocks."""
    caller = sys._getframe(1).f_globals["__name__"]
    if caller.startswith("django_toosimple_q.wakeups"):
        raise AssertionError("on Windows only sockets can be waited for")
    return _pipe()


def read_text(self: pathlib.Path, *args: object, **kwargs: object) -> str:
    if str(self).startswith("/proc/"):
        raise FileNotFoundError(self)
    return _read_text(self, *args, **kwargs)  # type: ignore[arg-type]


take_away()

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
