"""Run several worker processes: start them, restart them, pass signals on, and stop them.

The children are forked before any thread or connection exists, so they share imported modules.
If the supervisor dies, a pipe closes and they stop as on SIGTERM. If a child dies, its scoreboard
shows what it ran, and its rows are recovered before another child takes its number.
"""

import gc
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from django.db import connections

from django_toosimple_q import code_version, signals
from django_toosimple_q.databases import leave_pools
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store.transaction import require_autocommit
from django_toosimple_q.wakeups.pipe import WakeUp
from django_toosimple_q.worker.execution.deadline import main_thread
from django_toosimple_q.worker.options import InvalidOption, WorkerOptions
from django_toosimple_q.worker.processes import leftovers
from django_toosimple_q.worker.processes.children import (
    die_with_parent,
    exit_code,
    reap,
    reap_strangers,
)
from django_toosimple_q.worker.processes.crash_recovery import crashed, recover_in_process
from django_toosimple_q.worker.processes.scoreboard import Scoreboard
from django_toosimple_q.worker.processes.shutdown import AT_ONCE, GRACEFUL, STOPPING, ours
from django_toosimple_q.worker.processes.watch import Watch
from django_toosimple_q.worker.worker import Worker

CRASHED = int(WorkerStatus.ExitCodes.CRASHED)
TERMINATED = int(WorkerStatus.ExitCodes.TERMINATED)
SIGHUP = getattr(signal, "SIGHUP", None)

SHORTEST_BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 1.0, 60.0
# A child that lived longer than this, or died while it ran a task, counts as healthy: an occasional
# death is no reason to stop. After this many quick deaths in a row, the supervisor gives up.
WELL_AFTER_SECONDS = 300.0
FAST_FAILURES = 10
# How long children may take to stop, beyond their own grace, before they are killed.
PATIENCE_SECONDS = 2.0


@dataclass
class Child:
    """One numbered place among the processes, and its current worker process."""

    number: int
    pid: int = 0
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    scoreboard: Scoreboard = field(default_factory=Scoreboard)
    # Its exit code, and the process that recovers its rows.
    code: int | None = None
    recovery_pid: int = 0
    watch: Watch | None = None
    # When it is killed, if it was told to make room for another and does not end by then.
    kill_at: float | None = None


class Supervisor:
    """Keeps `options.processes` workers alive until a signal stops it."""

    def __init__(self, options: WorkerOptions) -> None:
        self.options = options
        self.children = [Child(number) for number in range(options.processes)]
        self.wakeup = WakeUp()
        self.stopping = False
        self.stop_signals: list[int] = []
        self.handled: list[int] = []
        self.kill_at: float | None = None
        self.worst = 0
        self.alive_read, self.alive_write = os.pipe()

    def run(self) -> int:
        """Supervise until all children have stopped, and return the worst of their exit codes."""
        require_autocommit()
        if not main_thread():
            raise InvalidOption(
                f"--processes={self.options.processes} was called in thread "
                f"{threading.current_thread().name!r}, where no signal arrives that could stop it. "
                "Call it in the main thread, or use --threads."
            )
        self.handled = [*ours(), signal.SIGCHLD]
        before = {number: signal.signal(number, self._on_signal) for number in self.handled}
        leave_pools()
        connections.close_all()
        # A child that starts later runs this code as well, whatever the files are by then.
        code_version.own()
        # Exclude all objects so far from garbage collection. A collection in a child would write
        # to the memory pages that all processes share, and so copy them.
        gc.collect()
        gc.freeze()
        try:
            while self.run_once(time.monotonic()):
                self.wakeup.wait(self.seconds_to_wait(time.monotonic()))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self.worst

    def run_once(self, now: float) -> bool:
        """Reap, pass on, kill and start. Return whether there is anything left to supervise."""
        for child in self.children:
            if child.pid:
                self.check(child, now)
        reap_strangers(
            {pid for child in self.children for pid in (child.pid, child.recovery_pid) if pid}
        )
        self.pass_on(now)
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = None
            self.send(signal.SIGKILL)
        for child in self.children:
            if child.pid and child.kill_at is not None and now >= child.kill_at:
                child.kill_at = inf
                os.kill(child.pid, signal.SIGKILL)
        if not self.stopping:
            for child in self.children:
                if not child.pid and now >= child.start_at:
                    self.start(child, now)
        return any(child.pid for child in self.children) or not self.stopping

    def start(self, child: Child, now: float) -> None:
        """Fork a worker process."""
        child.scoreboard.wipe()
        # What stops a child before it has its handlers waits for them: here it would call ours,
        # and be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        pid = os.fork()
        if pid == 0:
            os._exit(self.be_child(child))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        child.pid, child.started, child.code = pid, now, None
        child.watch = Watch(pid, self.options.timeout, now)

    def check(self, child: Child, now: float) -> None:
        """Recover the rows of a child that has ended, then free its number."""
        if child.code is None:
            child.code = exit_code(child.pid)
            if child.code is None:
                self.end_if_hung(child, now)
                return
            snapshot = child.scoreboard.snapshot()
            if snapshot.worker_id and crashed(snapshot, child.code):
                child.recovery_pid = recover_in_process(snapshot, child.code, self.alive_write)
        if child.recovery_pid and exit_code(child.recovery_pid) is None:
            return
        if child.recovery_pid:
            reap(child.recovery_pid)
            child.recovery_pid = 0
        reap(child.pid)
        self.ended(child, child.code, now)

    def end_if_hung(self, child: Child, now: float) -> None:
        """End a child in which C code blocks the interpreter."""
        if child.watch is not None and child.watch.check(child.scoreboard.pulse, now):
            signals.child_hung.send_robust(sender=self.options.label, pid=child.pid)
            child.watch.end()

    def ended(self, child: Child, code: int, now: float) -> None:
        """Record that a child ended, and when to start another under its number."""
        pid, child.pid = child.pid, 0
        snapshot = child.scoreboard.snapshot()
        recycled = code == 0 and snapshot.exited
        restarted, child.kill_at = child.kill_at is not None, None
        if self.stopping:
            # One that was stopped before it registered has cut nothing off.
            orderly = recycled or (code == 0 and not snapshot.worker_id)
            self.worst = max(self.worst, code if code > 0 or orderly else TERMINATED)
            return
        if recycled or restarted:
            child.failures, child.start_at = 0, now
            return
        lived = now - child.started > WELL_AFTER_SECONDS
        child.failures = 1 if lived or snapshot.running else child.failures + 1
        child.start_at = now + back_off(child.failures)
        signals.child_died.send_robust(
            sender=self.options.label, pid=pid, code=code, again_in=child.start_at - now
        )
        if child.failures >= FAST_FAILURES:
            self.worst = CRASHED
            self.stop(signal.SIGTERM, now)

    def pass_on(self, now: float) -> None:
        """Pass received signals on to the children."""
        while self.stop_signals:
            number = self.stop_signals.pop(0)
            if number == SIGHUP:
                self.restart(now)
            else:
                self.stop(signal.SIGTERM if number in GRACEFUL else number, now)

    def restart(self, now: float) -> None:
        """Let each child stop with grace, and start another in its stead."""
        for child in self.children:
            if child.pid and child.code is None and not self.stopping and child.kill_at is None:
                child.kill_at = now + self.options.grace + PATIENCE_SECONDS
                os.kill(child.pid, signal.SIGTERM)

    def stop(self, number: int, now: float) -> None:
        """Stop the children, and plan to kill those that do not stop."""
        again, self.stopping = self.stopping, True
        self.send(number)
        if number == signal.SIGTERM:
            self.kill_at = now + self.options.grace + PATIENCE_SECONDS
        elif again or number in AT_ONCE:
            # Running tasks are interrupted at once.
            self.kill_at = now + PATIENCE_SECONDS

    def send(self, number: int) -> None:
        for child in self.children:
            if child.pid:
                os.kill(child.pid, number)

    def seconds_to_wait(self, now: float) -> float | None:
        """Return the seconds until there is something to do, or None."""
        moments = [] if self.stopping else [one.start_at for one in self.children if not one.pid]
        moments += [self.kill_at] if self.kill_at is not None else []
        moments += [one.kill_at for one in self.children if one.pid and one.kill_at is not None]
        moments += [one.watch.next_check for one in self.children if one.pid and one.watch]
        return max(min(moments) - now, 0.01) if moments else None

    def be_child(self, child: Child) -> int:
        """Run a worker in the forked process and return its exit code."""
        try:
            for number in self.handled:
                signal.signal(number, signal.SIG_DFL)
            self.wakeup.close()
            os.close(self.alive_write)
            # A terminal's Ctrl-C should reach only the supervisor, which passes it on once.
            os.setpgid(0, 0)
            die_with_parent(self.alive_read)
            return Worker(self.child_options(child), child.scoreboard).run()
        except BaseException:
            traceback.print_exc()
            return CRASHED
        finally:
            leftovers.report(0)
            leftovers.end_children()
            sys.stdout.flush()
            sys.stderr.flush()

    def child_options(self, child: Child) -> WorkerOptions:
        """Return a child's own options, with its number in a label without {pid}."""
        label = self.options.label
        if "{pid}" not in label:
            label = f"{label}-{child.number + 1}"
        return replace(self.options, label=label, processes=1)

    def _on_signal(self, number: int, frame: Any) -> None:
        if number != signal.SIGCHLD:
            self.stop_signals.append(number)
        self.wakeup.set()


def back_off(failures: int) -> float:
    """Return the seconds to wait before a restart, after this many failures in a row."""
    return min(SHORTEST_BACK_OFF_SECONDS * 2.0 ** (failures - 1), LONGEST_BACK_OFF_SECONDS)
