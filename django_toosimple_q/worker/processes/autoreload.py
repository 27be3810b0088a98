"""Restart the worker when code changes. The worker keeps the main thread, and so its signals.

Django's own `run_with_reloader` runs the command in a thread, where no signals arrive, and loses
its exit status. Here, a parent process starts the worker again when it exits with 3, as Django's
reloader does, and otherwise returns its exit code. While the saved code cannot be imported, it
waits for the next change, as runserver does.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.utils import autoreload

from django_toosimple_q import signals
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.worker.platform import CAN_FORK
from django_toosimple_q.worker.processes.children import die_with_parent
from django_toosimple_q.worker.processes.shutdown import AT_ONCE, ours
from django_toosimple_q.worker.worker import Worker

RELOAD_EXIT_CODE = 3
TERMINATED = int(WorkerStatus.ExitCodes.TERMINATED)
PARENT_PIPE_VARIABLE = "TOOSIMPLEQ_PARENT_PIPE"
READY_PIPE_VARIABLE = "TOOSIMPLEQ_READY_PIPE"
CHECK_SECONDS = 0.5


def run_with_reloader(make_worker: Callable[[], Worker]) -> int:
    """Run a worker under the reloader and return its exit code."""
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true":
        return run_watched(make_worker())
    return supervise(autoreload.get_child_arguments())


def supervise(arguments: list[str]) -> int:
    """Restart the process whenever it exits with 3, and pass signals on.

    SIGINT goes as a byte through the pipe: a terminal also sends it to the child, which then
    counts it once.
    """
    parent_pipe, held = os.pipe()
    ready, begun = os.pipe()
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    # Windows passes no files on: there a child outlives a parent that is killed.
    passed = [parent_pipe, begun] if CAN_FORK else []
    if passed:
        os.set_blocking(ready, False)
        environment[PARENT_PIPE_VARIABLE] = str(parent_pipe)
        environment[READY_PIPE_VARIABLE] = str(begun)
    was_ready = False
    child: subprocess.Popen[bytes] | None = None
    stopping: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        stopping.append(number)
        if number == signal.SIGINT:
            os.write(held, b"!")
        elif child is not None:
            child.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in ours() if number not in AT_ONCE}
    try:
        while True:
            saved = modification_times()
            child = subprocess.Popen(arguments, env=environment, pass_fds=passed)
            if any(number != signal.SIGINT for number in stopping):  # it came between two children
                child.send_signal(signal.SIGTERM)
            code = child.wait()
            is_ready = CAN_FORK and _is_written(ready)
            # A worker ran before, and this one did not come to it: the saved code is broken.
            broken = was_ready and not is_ready and not stopping
            was_ready = was_ready or is_ready
            if code != RELOAD_EXIT_CODE and not broken:
                # Below 0: it was stopped before it could handle that.
                return code if code >= 0 or not stopping else TERMINATED
            if stopping:
                return TERMINATED
            if code != RELOAD_EXIT_CODE:
                signals.code_broken.send_robust(sender=os.getpid(), exit_code=code)
                while not stopping and modification_times() == saved:
                    time.sleep(CHECK_SECONDS)
                if stopping:
                    return code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for end in (held, parent_pipe, ready, begun):
            os.close(end)


def modification_times() -> dict[Path, int]:
    """Return when the project's code was saved: what is imported, and what lies beside it."""
    files = {
        beside
        for folder in {file.parent for file in autoreload.iter_all_python_module_files()}
        if not folder.is_relative_to(sys.prefix) and not folder.is_relative_to(sys.base_prefix)
        for beside in folder.glob("*.py")
    }
    times = {}
    for file in files:
        with suppress(OSError):
            times[file] = file.stat().st_mtime_ns
    return times


def _is_written(pipe: int) -> bool:
    with suppress(BlockingIOError):
        return bool(os.read(pipe, 1))
    return False


def run_watched(worker: Worker) -> int:
    """Run the worker in this thread while another one watches the code."""
    if PARENT_PIPE_VARIABLE in os.environ:
        parent_pipe = int(os.environ[PARENT_PIPE_VARIABLE])
        os.write(int(os.environ[READY_PIPE_VARIABLE]), b"!")
        die_with_parent(parent_pipe, on_byte=worker.shutdown.pass_on_interrupt)
    changed: list[Path] = []

    def on_change(sender: Any, file_path: Path, **kwargs: Any) -> bool | None:
        if file_path.suffix in (".mo", ".html", ".txt"):
            return None
        changed.append(file_path)
        # Running tasks are interrupted and replaced, so nothing is lost.
        worker.shutdown.interrupt(f"{file_path} changed")
        return True

    autoreload.file_changed.connect(on_change)
    reloader = autoreload.get_reloader()
    main = threading.current_thread()
    threading.Thread(target=reloader.run, args=(main,), name="reloader", daemon=True).start()
    try:
        code = worker.run()
    finally:
        autoreload.file_changed.disconnect(on_change)
        reloader.stop()
    return RELOAD_EXIT_CODE if changed else code


def wants_reloader(choice: str | None, debug: bool) -> bool:
    """Return whether to watch the code: as `--reload` says, or else if DEBUG is on."""
    return choice == "always" or (choice is None and debug)
