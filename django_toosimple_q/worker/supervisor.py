"""Several worker processes under one that runs nothing: start, restart, pass signals on, stop.

The children are forked before any thread or connection exists, so they share what was imported. A
pipe tells them when their supervisor is gone: they then stop as on SIGTERM. What a child that died
was at is read off its board, and settled before its place is filled again.
"""

import gc
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connections

from django_toosimple_q import signals
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.notify.wakeup import WakeUp
from django_toosimple_q.store.dialect import leave_pools
from django_toosimple_q.worker.board import Board
from django_toosimple_q.worker.leash import die_with
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.reaping import exit_code, reap, reap_strangers
from django_toosimple_q.worker.settling import died, settle_beside
from django_toosimple_q.worker.watchdog import Watch
from django_toosimple_q.worker.worker import Worker

CRASHED = int(WorkerStatus.ExitCodes.CRASHED)
TERMINATED = int(WorkerStatus.ExitCodes.TERMINATED)

SHORTEST_BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 1.0, 60.0
# A child that lived so long, or died at a task, was well: that one is killed now and then says
# nothing against starting it. One that fell sooner, so often in a row, never will be.
WELL_AFTER_SECONDS = 300.0
FAST_FAILURES = 10
# What children get to stop, beyond their own grace, before they are killed.
PATIENCE_SECONDS = 2.0


@dataclass
class Child:
    """One place among the processes, whoever fills it."""

    number: int
    pid: int = 0
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    board: Board = field(default_factory=Board)
    # How it ended, and the process that settles what it left.
    code: int | None = None
    settler: int = 0
    watch: Watch | None = None


class Supervisor:
    """Keeps `options.processes` workers alive until it is told to stop."""

    def __init__(self, options: WorkerOptions) -> None:
        self.options = options
        self.children = [Child(number) for number in range(options.processes)]
        self.wakeup = WakeUp()
        self.stopping = False
        self.stop_signals: list[int] = []
        self.kill_at: float | None = None
        self.worst = 0
        self.alive_read, self.alive_write = os.pipe()

    def run(self) -> int:
        """Supervise until all children have stopped; return the worst of their exit codes."""
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
        before = {number: signal.signal(number, self._on_signal) for number in handled}
        leave_pools()
        connections.close_all()
        # What is imported by now is for good: no collection of a child then writes into, and so
        # copies, the pages that all share.
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
        """Reap, pass on, kill and start; return whether there is anything left to supervise."""
        for child in self.children:
            if child.pid:
                self.look_after(child, now)
        reap_strangers(
            {pid for child in self.children for pid in (child.pid, child.settler) if pid}
        )
        self.pass_on(now)
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = None
            self.send(signal.SIGKILL)
        if not self.stopping:
            for child in self.children:
                if not child.pid and now >= child.start_at:
                    self.start(child, now)
        return any(child.pid for child in self.children) or not self.stopping

    def start(self, child: Child, now: float) -> None:
        """Fork a worker into a place."""
        child.board.wipe()
        pid = os.fork()
        if pid == 0:
            os._exit(self.be_child(child))
        child.pid, child.started, child.code = pid, now, None
        child.watch = Watch(pid, self.options.timeout, now)

    def look_after(self, child: Child, now: float) -> None:
        """Settle what a child left that has ended, then free its place."""
        if child.code is None:
            child.code = exit_code(child.pid)
            if child.code is None:
                self.watch(child, now)
                return
            legacy = child.board.legacy()
            if legacy.worker_id and died(legacy, child.code):
                child.settler = settle_beside(legacy, child.code, self.alive_write)
        if child.settler and exit_code(child.settler) is None:
            return
        if child.settler:
            reap(child.settler)
            child.settler = 0
        reap(child.pid)
        self.ended(child, child.code, now)

    def watch(self, child: Child, now: float) -> None:
        """End a child in which no Python runs any more."""
        if child.watch is not None and child.watch.look(child.board.pulse, now):
            signals.child_hung.send_robust(sender=self.options.label, pid=child.pid)
            child.watch.end()

    def ended(self, child: Child, code: int, now: float) -> None:
        """Take in that a child ended, and when its place is filled again."""
        pid, child.pid = child.pid, 0
        legacy = child.board.legacy()
        recycled = code == 0 and legacy.orderly
        if self.stopping:
            self.worst = max(self.worst, code if code > 0 or recycled else TERMINATED)
            return
        if recycled:
            child.failures, child.start_at = 0, now
            return
        lived = now - child.started > WELL_AFTER_SECONDS
        child.failures = 1 if lived or legacy.running else child.failures + 1
        child.start_at = now + back_off(child.failures)
        signals.child_died.send_robust(
            sender=self.options.label, pid=pid, code=code, again_in=child.start_at - now
        )
        if child.failures >= FAST_FAILURES:
            self.worst = CRASHED
            self.stop(signal.SIGTERM, now)

    def pass_on(self, now: float) -> None:
        """Pass the signals that came in on to the children."""
        while self.stop_signals:
            self.stop(self.stop_signals.pop(0), now)

    def stop(self, number: int, now: float) -> None:
        """Let the children stop; those that do not are killed."""
        again, self.stopping = self.stopping, True
        self.send(number)
        if number == signal.SIGTERM:
            self.kill_at = now + self.options.grace + PATIENCE_SECONDS
        elif again:
            # Asked twice: what runs is cut off at once.
            self.kill_at = now + PATIENCE_SECONDS

    def send(self, number: int) -> None:
        for child in self.children:
            if child.pid:
                os.kill(child.pid, number)

    def seconds_to_wait(self, now: float) -> float | None:
        """Return how long nothing is to be done."""
        moments = [] if self.stopping else [one.start_at for one in self.children if not one.pid]
        moments += [self.kill_at] if self.kill_at is not None else []
        moments += [one.watch.next_look for one in self.children if one.pid and one.watch]
        return max(min(moments) - now, 0.01) if moments else None

    def be_child(self, child: Child) -> int:
        """Run a worker in the forked process and return its exit code."""
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            self.wakeup.close()
            os.close(self.alive_write)
            # A terminal's Ctrl-C reaches the supervisor, which passes it on once.
            os.setpgid(0, 0)
            die_with(self.alive_read)
            return Worker(self.child_options(child), child.board).run()
        except BaseException:
            traceback.print_exc()
            return CRASHED
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def child_options(self, child: Child) -> WorkerOptions:
        """Return a child's own options: a label that was given is numbered."""
        label = self.options.label
        if "{pid}" not in label:
            label = f"{label}-{child.number + 1}"
        return replace(self.options, label=label, processes=1)

    def _on_signal(self, number: int, frame: Any) -> None:
        if number != signal.SIGCHLD:
            self.stop_signals.append(number)
        self.wakeup.set()


def back_off(failures: int) -> float:
    """Return how long to wait before a child that failed so often in a row starts again."""
    return min(SHORTEST_BACK_OFF_SECONDS * 2.0 ** (failures - 1), LONGEST_BACK_OFF_SECONDS)
