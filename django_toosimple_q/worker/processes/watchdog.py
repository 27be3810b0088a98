"""End a process in which C code blocks the interpreter, before its rows may be rescued.

C code that keeps the interpreter's lock stops all threads of its process. The heartbeats stop, but
the task continues, so rescuing its row would run it twice. A supervisor watches its workers; a
worker on its own starts a small process that does the same for it.
"""

import faulthandler
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django_toosimple_q.worker.platform import CAN_FORK
from django_toosimple_q.worker.processes import watch


class Watchdog:
    """The process that watches this one, as long as running Python code feeds it."""

    def __init__(self, timeout: float, *, enabled: bool) -> None:
        self.timeout = timeout
        self.enabled = enabled and CAN_FORK
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be watched while the block runs. Stacks go to the current standard error."""
        if not self.enabled:
            yield
            return
        self.process = self._start()
        try:
            yield
        finally:
            process, self.process = self.process, None
            # It would not see the end of its input while a child of a task has the other end too.
            process.kill()
            process.communicate()

    def feed(self) -> None:
        """Show that this process runs Python."""
        if self.process is None or self.process.stdin is None:
            return
        try:
            os.write(self.process.stdin.fileno(), b".")
        except BlockingIOError:
            pass  # it is paused, and has enough to read
        except BrokenPipeError:
            # It was killed: by the system, for want of memory.
            self.process.communicate()
            self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-I", "-S", watch.__file__, str(os.getpid()), str(self.timeout)]
        # In a session of its own no Ctrl-C and no Ctrl-Z of the terminal reaches it.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        return process


@contextmanager
def stacks_printed() -> Iterator[None]:
    """Print the stacks of all threads if a fault, such as a segfault, kills this process."""
    if faulthandler.is_enabled():
        yield
        return
    output = os.dup(2)
    faulthandler.enable(output)
    try:
        yield
    finally:
        faulthandler.disable()
        os.close(output)
