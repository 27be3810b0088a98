"""Tasks that harm the worker that runs them."""

import ctypes
import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import connection, transaction
from django.utils import timezone, translation

from django_toosimple_q.decorators import register_task
from tests.app.models import Effect
from tests.app.tasks import ledger, sleep

MEGABYTE = 1024 * 1024
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)

kept: list[Any] = []
poisons: dict[str, Callable[[], Any]] = {}


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


@register_task(name="hazards.frozen")
def frozen() -> int:
    """Return how many objects no collection looks at."""
    return gc.get_freeze_count()


@register_task(name="hazards.hold_the_lock")
def hold_the_lock(seconds: int, path: str) -> str:
    """Sleep in C code that lets no other thread run."""
    ledger(path, "began hold")
    ctypes.PyDLL(None).sleep(seconds)
    ledger(path, "ended hold")
    return "held"
