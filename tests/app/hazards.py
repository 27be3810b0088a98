"""Tasks that harm the worker that runs them."""

import atexit
import ctypes
import gc
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone, translation

from django_toosimple_q.decorators import register_task
from tests.app.models import Effect
from tests.app.tasks import ledger, sleep

MEGABYTE = 1024 * 1024
SMAPS = Path("/proc/self/smaps_rollup")
# Windows has no SIGALRM.
HANDLED = [one for one in signal.Signals if one.name in ("SIGINT", "SIGTERM", "SIGALRM")]

kept: list[Any] = []
poisons: dict[str, Callable[[], Any]] = {}


class KillsWhoReads:
    """Kills the first process that unpickles it, and remembers that in a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return kill_once, (self.path,)


def kill_once(path: str) -> str:
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path


@register_task(name="hazards.poison")
def poison(kind: str) -> Any:
    return poisons[kind]()


@register_task(name="hazards.innocent")
def innocent() -> list[Any]:
    """Work, and return all that somebody before may have changed."""
    print("hello")
    Effect.objects.create(key="innocent")
    mask = os.umask(0o077)
    os.umask(mask)
    handlers = [signal.getsignal(number) for number in HANDLED]
    return [
        os.getpid(),
        os.getcwd(),
        mask,
        timezone.get_current_timezone_name(),
        translation.get_language(),
        connection.in_atomic_block,
        connection.get_autocommit(),
        [getattr(handler, "__qualname__", handler) for handler in handlers],
        type(sys.stdout).__name__,
    ]


def a_poison(function: Callable[[], Any]) -> Callable[[], Any]:
    poisons[function.__name__] = function
    return function


@a_poison
def exits() -> None:
    os._exit(5)


@a_poison
def segfaults() -> None:
    ctypes.string_at(0)


@a_poison
def recurses() -> None:
    recurses()


@a_poison
def takes_all_memory() -> None:
    kept.append(bytes(1 << 62))


@a_poison
def prints_100_megabytes() -> None:
    for _ in range(100):
        print("x" * MEGABYTE)


@a_poison
def returns_100_megabytes() -> bytes:
    return os.urandom(100 * MEGABYTE)


@a_poison
def forks_and_returns() -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)


@a_poison
def changes_folder() -> None:
    os.chdir("/")


@a_poison
def changes_umask() -> None:
    os.umask(0o777)


@a_poison
def leaves_a_transaction_open() -> None:
    block = transaction.atomic()
    block.__enter__()
    kept.append(block)
    Effect.objects.create(key="lost")


@a_poison
def switches_autocommit_off() -> None:
    transaction.set_autocommit(False)
    Effect.objects.create(key="lost")


@a_poison
def changes_zone() -> None:
    timezone.activate("Asia/Tokyo")


@a_poison
def changes_language() -> None:
    translation.activate("de")


@a_poison
def closes_stdout() -> None:
    sys.stdout.close()


@a_poison
def replaces_stdout() -> None:
    sys.stdout = io.StringIO()


@a_poison
def changes_signal_handlers() -> None:
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)


@a_poison
def breaks_its_connection() -> None:
    Effect.objects.count()
    connection.connection.close()
    with suppress(Exception):  # on MariaDB it is the driver's own
        Effect.objects.count()


@a_poison
def raises_system_exit() -> None:
    sys.exit(5)


@a_poison
def raises_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


@register_task(name="hazards.hoard")
def hoard(megabytes: int) -> int:
    """Keep memory for good; return the id of the process that does."""
    kept.append(b"x" * megabytes * MEGABYTE)
    return os.getpid()


@register_task(name="hazards.slow_effect", atomic=True)
def slow_effect(seconds: float, path: str) -> None:
    """Write, and take some time until that is committed."""
    Effect.objects.create(key="slow")
    sleep(seconds, path, "slow")


@register_task(name="hazards.memory_after_a_collection")
def memory_after_a_collection() -> dict[str, int]:
    """Look at every object once, as a collection does; return how much memory is shared, in KB.

    What a process has written to is its own, and a collection writes to each object it looks at.
    """
    gc.collect()
    lines = [line.split() for line in SMAPS.read_text().splitlines()]
    return {name.rstrip(":"): int(size) for name, size, *unit in lines if unit == ["kB"]}


@register_task(name="hazards.hold_the_lock")
def hold_the_lock(seconds: int, path: str) -> str:
    """Sleep in C code that lets no other thread run."""
    ledger(path, "began hold")
    ctypes.PyDLL(None).sleep(seconds)
    ledger(path, "ended hold")
    return "held"


@register_task(name="hazards.leave_thread")
def leave_thread(seconds: float = 600) -> None:
    """Leave a thread that keeps the process, since it is no daemon."""
    threading.Thread(target=time.sleep, args=[seconds], name="left-behind").start()


@register_task(name="hazards.leave_pool")
def leave_pool() -> int:
    """Leave a pool of idle threads, as many libraries do; it ends with the interpreter."""
    kept.append(ThreadPoolExecutor(2))
    return kept[-1].submit(os.getpid).result()


@register_task(name="hazards.leave_process")
def leave_process() -> int:
    """Leave a child that multiprocessing waits for at the end."""
    child = multiprocessing.get_context("fork").Process(
        target=time.sleep, args=[600], name="left-child"
    )
    child.start()
    return child.pid or 0


@register_task(name="hazards.exit_at_exit")
def exit_at_exit() -> None:
    atexit.register(sys.exit, 5)


@register_task(name="hazards.signal_itself")
def signal_itself(number: int) -> str:
    os.kill(os.getpid(), number)
    time.sleep(0.2)
    return "went on"


@register_task(name="hazards.interrupt")
def interrupt(executed: bool) -> None:
    """Raise what Ctrl-C raises in a program of its own."""
    if executed:
        exec("raise KeyboardInterrupt")
    raise KeyboardInterrupt


@register_task(name="hazards.tick_on")
def tick_on(path: str) -> None:
    """Show for ever, outside the queue, where and when this runs."""
    while True:
        ledger(path, f"{os.getpid()} {time.monotonic()}")
        time.sleep(0.1)


@register_task(name="hazards.leave_orphan")
def leave_orphan() -> tuple[int, int]:
    """Run a shell that leaves a process behind; return the shell's exit code and that process."""
    command = "sleep 0.3 >/dev/null 2>&1 & echo $!; exit 3"
    shell = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True)
    return shell.returncode, int(shell.stdout)
