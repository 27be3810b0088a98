"""Restart the worker when code changes; the main thread, and so the signals, stay its own.

Django's own `run_with_reloader` runs the command in a thread, where no signal arrives, and loses
its exit status. Here a parent process starts the worker again while it exits with 3, as Django's
reloader does, and otherwise passes its exit code on.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils import autoreload

from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.worker.leash import die_with
from django_toosimple_q.worker.worker import Worker

RELOAD_EXIT_CODE = 3
LEASH_VARIABLE = "TOOSIMPLEQ_LEASH"


def run_with_reloader(make_worker: Callable[[], Worker]) -> int:
    """Run a worker under the reloader and return its exit code."""
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true":
        return run_watched(make_worker())
    return supervise(autoreload.get_child_arguments())


def supervise(arguments: list[str]) -> int:
    """Start the process again as long as it asks for it; pass SIGINT and SIGTERM on."""
    leash, held = os.pipe()
    environment = {
        **os.environ,
        autoreload.DJANGO_AUTORELOAD_ENV: "true",
        LEASH_VARIABLE: str(leash),
    }
    child: subprocess.Popen[bytes] | None = None
    stopping: list[int] = []

    def pass_on(number: int, frame: Any) -> None:
        # A terminal sends SIGINT to the child as well; only what comes to us alone is passed on.
        if number == signal.SIGTERM:
            stopping.append(number)
            if child is not None:
                child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while True:
            child = subprocess.Popen(arguments, env=environment, pass_fds=[leash])
            if stopping:  # it came between two children
                child.send_signal(signal.SIGTERM)
            code = child.wait()
            if code != RELOAD_EXIT_CODE:
                return code
            if stopping:
                return int(WorkerStatus.ExitCodes.TERMINATED)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(held)
        os.close(leash)


def run_watched(worker: Worker) -> int:
    """Run the worker in this thread while another one watches the code."""
    if LEASH_VARIABLE in os.environ:
        die_with(int(os.environ[LEASH_VARIABLE]))
    changed: list[Path] = []

    def on_change(sender: Any, file_path: Path, **kwargs: Any) -> bool | None:
        if file_path.suffix in (".mo", ".html", ".txt"):
            return None
        changed.append(file_path)
        # What runs is cut off and replaced, so nothing is lost.
        worker.stop.interrupt(f"{file_path} changed")
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
    """Tell whether to watch: as `--reload` says, else when DEBUG is on."""
    return choice == "always" or (choice is None and debug)
