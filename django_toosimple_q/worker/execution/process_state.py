"""The state of the process that a task may change: taken once, put back after each task.

Tasks in several threads share it. What is changed beside them holds until the next one ends.
"""

# signal.getsignal() wraps what it returns, which takes a hundred times as long.
import _signal  # type: ignore[import-not-found]
import asyncio
import ctypes
import decimal
import gc
import locale
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from django_toosimple_q.worker.execution.request_state import any_cache_closes
from django_toosimple_q.worker.platform import CAN_ALARM

UNCATCHABLE = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}
# Plain numbers, since they are compared after each task. Those above are for real time.
LAST_STANDARD = 31
HANDLED = tuple(
    int(number) for number in signal.valid_signals() - UNCATCHABLE if number <= LAST_STANDARD
)
# The worker's own timer is ITIMER_REAL, which it sets again when it fires.
TIMERS = (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF) if CAN_ALARM else ()
IN_POOL = (signal.ITIMER_REAL, *TIMERS) if CAN_ALARM else ()
NO_TIMER = (0.0, 0.0)
# Linux changes to no longer one.
LONGEST_FOLDER = 4096
CAN_MASK_SIGNALS = hasattr(signal, "pthread_sigmask")
# Setting any logger's level, or logging.disable(), empties what each logger has cached; and a
# dictConfig() that disables loggers disables this one.
CANARY = logging.getLogger("django_toosimple_q.isolation")


class ProcessState:
    """The process as it is when this is made.

    What modules set while a task imports them is kept: they would not set it a second time.
    `main_thread`: tasks run in it, and only there they can change signal handlers.
    """

    def __init__(self, *, main_thread: bool = True) -> None:
        self.folder = current_folder()
        self.mask = read_umask()
        self.main_thread = main_thread and threading.current_thread() is threading.main_thread()
        # Only the main thread may change handlers; any may set a timer.
        self.handled = HANDLED if self.main_thread else ()
        self.handlers = [*map(_signal.getsignal, self.handled)]
        self.timers = [
            (timer, _signal.getitimer(timer)) for timer in (TIMERS if self.main_thread else IN_POOL)
        ]
        self.wakeup_fd = -1
        if self.main_thread:
            self.wakeup_fd = signal.set_wakeup_fd(-1)
            self._put_wakeup_back()
        self.signal_mask = signal_mask()
        self.decimal = decimal.getcontext().copy()
        self.socket_timeout = socket.getdefaulttimeout()
        self.recursion_limit = sys.getrecursionlimit()
        self.collects = gc.isenabled()
        self.clock = clock()
        # Code may put others in their place, which need not be of their kind.
        self.own_environment, self.own_path = os.environ, sys.path
        self.own_filters = warnings.filters
        self.caches_close = any_cache_closes()
        self._take_imported()

    def _take_imported(self) -> None:
        """Take what modules set when they are imported."""
        self.modules = len(sys.modules)
        self.environment = dict(environment_data())
        self.filters = list(warnings.filters)
        self.path = list(sys.path)
        self.locale = locale.setlocale(locale.LC_ALL)
        self.disabled = logging.root.manager.disable
        self.loggers = logger_states()
        CANARY.isEnabledFor(logging.DEBUG)

    def put_back(self) -> None:
        """Put everything back."""
        if self.folder and self.folder != current_folder():
            # It may be gone, as a release is that was deployed over.
            with suppress(OSError):
                os.chdir(self.folder)
        os.umask(self.mask)
        if [*map(_signal.getsignal, self.handled)] != self.handlers:
            # Without its handler, the signal of a timer would end the process.
            self._put_timers_back()
            self._put_handlers_back()
        if signal_mask() != self.signal_mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.signal_mask)
        if socket.getdefaulttimeout() != self.socket_timeout:
            socket.setdefaulttimeout(self.socket_timeout)
        if sys.getrecursionlimit() != self.recursion_limit:
            sys.setrecursionlimit(self.recursion_limit)
        if gc.isenabled() is not self.collects:
            (gc.enable if self.collects else gc.disable)()
        if asyncio._get_running_loop() is not None:
            self._leave_loop()
        if clock() != self.clock:
            time.time, time.monotonic, time.perf_counter, time.sleep = self.clock
        self._put_kinds_back()
        if len(sys.modules) != self.modules:
            self._take_imported()
        else:
            self._put_imported_back()

    def put_back_after_batch(self) -> None:
        """Put back what is no harm to the next task of a batch, and would cost each one time."""
        self._put_timers_back()
        self._put_wakeup_back()

    def _put_timers_back(self) -> None:
        for timer, before in self.timers:
            if (now := _signal.getitimer(timer)) != before:
                put_timer_back(timer, before, now)

    def _put_wakeup_back(self) -> None:
        """Have arriving signals written where the worker reads them, as before.

        An event loop with signal handlers takes that over, and leaves nothing when it closes.
        """
        if self.main_thread:
            signal.set_wakeup_fd(self.wakeup_fd, warn_on_full_buffer=False)

    def _put_handlers_back(self) -> None:
        for number, handler in zip(self.handled, self.handlers, strict=True):
            # None is one that C code has installed: Python cannot do so.
            if handler is not None and _signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def _leave_loop(self) -> None:
        """Have no event loop count as running in this thread: Django would refuse every query.

        Libraries that switch stacks, such as Playwright, leave theirs. Who wants that says so.
        """
        if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            asyncio._set_running_loop(None)

    def _put_kinds_back(self) -> None:
        """Put back what code has replaced by something of another kind, such as a plain dict."""
        if type(os.environ) is not type(self.own_environment):
            os.environ = self.own_environment  # noqa: B003  (the one that reaches C code)
        if type(sys.path) is not list:
            sys.path = self.own_path
        if type(warnings.filters) is not list:
            warnings.filters = self.own_filters

    def _put_imported_back(self) -> None:
        if environment_data() != self.environment:
            self._put_environment_back()
        if warnings.filters != self.filters:
            # It also lets each module forget what it has warned of under the other filters.
            warnings.resetwarnings()
            warnings.filters[:] = self.filters  # type: ignore[index]
        if sys.path != self.path:
            sys.path[:] = self.path
        if locale.setlocale(locale.LC_ALL) != self.locale:
            locale.setlocale(locale.LC_ALL, self.locale)
        if not CANARY._cache or CANARY.disabled:  # type: ignore[attr-defined]
            self._put_loggers_back()

    def _put_environment_back(self) -> None:
        zone = os.environ.get("TZ")
        environ: Any = os.environ
        key, text = (getattr(environ, name, str) for name in ("decodekey", "decodevalue"))
        for name in set(environment_data()) - set(self.environment):
            del environ[key(name)]
        for name, value in self.environment.items():
            environ[key(name)] = text(value)
        if environ.get("TZ") != zone and hasattr(time, "tzset"):
            time.tzset()

    def _put_loggers_back(self) -> None:
        for logger in {*self.loggers, *logger_states()}:
            level, logger.disabled = self.loggers.get(logger, (logging.NOTSET, False))
            if logger.level != level:
                logger.setLevel(level)
        if logging.root.manager.disable != self.disabled:
            logging.disable(self.disabled)
        CANARY.isEnabledFor(logging.DEBUG)


def clock() -> tuple[Any, ...]:
    """Return the functions that tell the time. Code may put others in their place."""
    return time.time, time.monotonic, time.perf_counter, time.sleep


def environment_data() -> Any:
    """Return what is in the environment, past its conversions; a project may have its own."""
    return getattr(os.environ, "_data", os.environ)


def put_timer_back(timer: int, before: tuple[float, float], now: tuple[float, float]) -> None:
    """Stop a timer that was started, or start one again; one that runs on has other seconds."""
    if before == NO_TIMER or now[1] != before[1]:
        signal.setitimer(timer, *before)


def logger_states() -> dict[logging.Logger, tuple[int, bool]]:
    """Return the level of each logger that has one of its own or is disabled, and whether it is.

    A `dictConfig()` disables those that are there already, by default.
    """
    known: list[Any] = list(logging.root.manager.loggerDict.values())
    loggers = [logging.root, *(one for one in known if isinstance(one, logging.Logger))]
    return {one: (one.level, one.disabled) for one in loggers if one.level or one.disabled}


def folder_reader() -> Callable[[], Any]:
    """Return what returns the working directory, or None when it was removed.

    `os.getcwd` lets other threads run meanwhile: after each task one that waits for its turn would
    be woken, mostly in vain. The function of the C library keeps the interpreter.
    """
    try:
        getcwd = ctypes.PyDLL(None).getcwd
    except (AttributeError, TypeError):  # Windows
        return folder_or_none
    getcwd.restype = ctypes.c_char_p
    return partial(getcwd, ctypes.create_string_buffer(LONGEST_FOLDER), LONGEST_FOLDER)


def folder_or_none() -> str | None:
    """Return the working directory, or None when it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


current_folder = folder_reader()


def read_umask() -> int:
    """Return the umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def signal_mask() -> Any:
    """Return which signals this thread blocks; None where a system has no such mask."""
    return _signal.pthread_sigmask(signal.SIG_BLOCK, ()) if CAN_MASK_SIGNALS else None
