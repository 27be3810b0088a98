"""Tasks that real worker processes run in the acceptance tests."""

import asyncio
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.execution import current_task
from tests.app.models import Effect

NO_CATCH_UP = "TOOSIMPLEQ_TEST_NO_CATCH_UP"


@register_task(name="app.echo")
def echo(value: Any = None) -> Any:
    return value


@register_task(name="app.say")
def say(out: str, err: str = "") -> None:
    print(out)
    print(err, file=sys.stderr)


@register_task(name="app.effect")
def effect(key: str) -> None:
    Effect.objects.create(key=key)


@register_task(name="app.ledger")
def ledger(path: str, line: str) -> None:
    """Append a line to a file: what really ran, told outside the queue."""
    with open(path, "a") as file:
        file.write(f"{line}\n")


@register_task(name="app.sleep")
def sleep(seconds: float, path: str = "", line: str = "") -> str:
    if path:
        ledger(path, f"began {line}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    if path:
        ledger(path, f"ended {line}")
    return "slept"


@register_task(name="app.until_interrupted")
def until_interrupted(path: str) -> str:
    """Run until told to come to an end."""
    ledger(path, "began")
    while not current_task().interrupted:
        time.sleep(0.02)
    return "told"


@register_task(name="app.held", on_interruption="hold")
def held(seconds: float, path: str) -> None:
    sleep(seconds, path, "held")


@register_task(name="app.two_at_once", max_running=2)
def two_at_once(seconds: float, path: str, line: str) -> None:
    sleep(seconds, path, line)


@register_task(name="app.five_a_second", rate_limit="5/s")
def five_a_second(path: str) -> None:
    ledger(path, f"{time.time()}")


@register_task(name="app.unique", unique=True)
def unique(key: str, path: str = "") -> None:
    if path:
        ledger(path, f"{key} {Effect.objects.filter(key=key).count()}")


@register_task(name="app.segfault")
def segfault() -> None:
    ctypes.string_at(0)


@register_task(name="app.leave")
def leave(code: int) -> None:
    os._exit(code)


@schedule_task(
    cron="* * * * * *",
    name="app.every_second",
    queue="seconds",
    catch_up=NO_CATCH_UP not in os.environ,
    datetime_kwarg="at",
)
@register_task(name="app.second", queue="seconds")
def second(at: Any = None) -> Any:
    return at


@register_task(name="app.stubborn", timeout_grace=0.5)
def stubborn(seconds: float, path: str, line: str = "stubborn") -> str:
    """Swallow whatever is to stop it."""
    ledger(path, f"began {line}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.05)
        except BaseException as error:
            ledger(path, f"swallowed {type(error).__name__}")
    ledger(path, f"ended {line}")
    return "ended all the same"


@register_task(name="app.stubborn_atomic", timeout_grace=0.5, atomic=True)
def stubborn_atomic(seconds: float, path: str) -> None:
    Effect.objects.create(key="stubborn")
    stubborn(seconds, path)


@register_task(name="app.deaf", timeout_grace=0.5)
def deaf(path: str) -> None:
    """Hang in C code that lets other threads run and comes back for no signal."""
    ledger(path, "began deaf")
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


@register_task(name="app.fork")
def fork(path: str, raises: bool = False) -> str:
    """Fork, and come back twice."""
    child = os.fork()
    if child == 0:
        if raises:
            raise ValueError("in the child")
        return "child"
    _, status = os.waitpid(child, 0)
    ledger(path, f"child exited {os.waitstatus_to_exitcode(status)}")
    return "parent"


@register_task(name="app.terminate_child")
def terminate_child() -> int:
    """Start a process and end it by SIGTERM, as multiprocessing does."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@register_task(name="app.pid")
def pid(seconds: float = 0) -> int:
    time.sleep(seconds)
    return os.getpid()


@register_task(name="app.fail_once", retries=1)
def fail_once(path: str) -> None:
    """Fail at the first attempt of each path."""
    ledger(path, "attempt")
    if len(Path(path).read_text().splitlines()) == 1:
        raise ValueError("the first attempt fails")


@register_task(name="app.fail_on_go", retries=1)
def fail_on_go(path: str) -> None:
    """Fail at the first attempt, once somebody has written "go" into the ledger."""
    ledger(path, "began")
    while "go" not in (lines := Path(path).read_text().splitlines()):
        time.sleep(0.02)
    if lines.count("began") == 1:
        raise ValueError("the first attempt fails")


@register_task(name="app.count_up")
def count_up(path: str) -> None:
    """Report one of three, and the rest once somebody has written "go" into the ledger."""
    current_task().progress(1, 3, "one")
    print("printed one")
    while not Path(path).exists():
        time.sleep(0.02)
    current_task().progress(3, 3, "three")


@register_task(name="app.count_up_async")
async def count_up_async(path: str) -> None:
    current_task().progress(1, 3, "one")
    print("printed one")
    while not Path(path).exists():
        await asyncio.sleep(0.02)
    await sync_to_async(current_task().progress)(3, 3, "three")


@register_task(name="app.query")
def query(path: str, seconds: float) -> None:
    """Let the database take its time."""
    function = {"postgresql": "PG_SLEEP", "mysql": "SLEEP"}[connection.vendor]
    ledger(path, "asked")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [seconds])


@register_task(name="app.session")
def session() -> int:
    """Return which session of the server the task's connection is."""
    function = {"postgresql": "PG_BACKEND_PID()", "mysql": "CONNECTION_ID()"}[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}")
        return int(cursor.fetchone()[0])


def note(path: str, line: str, seconds: float) -> None:
    """Tell outside the queue that a run began and that it ended."""
    ledger(path, f"began {line}")
    time.sleep(seconds)
    ledger(path, f"ended {line}")


@register_task(name="app.storm_plain")
def storm_plain(path: str, key: str, seconds: float) -> None:
    note(path, key, seconds)


@register_task(name="app.storm_atomic", atomic=True)
def storm_atomic(path: str, key: str, seconds: float) -> None:
    Effect.objects.create(key=key)
    note(path, key, seconds)


@register_task(name="app.storm_held", on_interruption="hold")
def storm_held(path: str, key: str, seconds: float) -> None:
    note(path, key, seconds)


@register_task(name="app.atomic_twice", atomic=True)
def atomic_twice(path: str, seconds: float) -> None:
    """Write, let time pass, and write again."""
    Effect.objects.create(key="first")
    note(path, "atomic", seconds)
    Effect.objects.create(key="second")


@register_task(name="app.use_threads")
def use_threads(count: int) -> None:
    """Query in threads that end with the task."""
    barrier = threading.Barrier(count)

    def query(number: int) -> int:
        barrier.wait(20)
        return Effect.objects.count()

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(query, range(count)))


@register_task(name="app.untidy")
def untidy() -> list[int]:
    """Leave what cannot be put back; return the process and what it finds of that."""
    import resource  # no module of Windows

    found = os.getpid(), os.nice(1) - 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (found[2] - 1, found[2] - 1))
    return list(found)


@register_task(name="app.count_effects")
def count_effects() -> int:
    return Effect.objects.count()


@register_task(name="app.count_queries")
def count_queries() -> int:
    """Return how many queries all connections of this process keep."""
    Effect.objects.count()
    kept = (one for one in gc.get_objects() if isinstance(one, BaseDatabaseWrapper))
    return sum(len(one.queries_log) for one in kept)
