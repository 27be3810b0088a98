"""The worker: step, then one wait. Claims rows, runs them, and stores their outcomes."""

import time
import traceback
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import datetime

from django.db import DatabaseError, InterfaceError

from django_toosimple_q import signals, wakeups
from django_toosimple_q.databases import bound_waits, leave_pools, limits_for
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.store import queues, workers
from django_toosimple_q.store.transaction import (
    is_hidden,
    is_locked,
    is_lost,
    keep_within,
    queue_connection,
    queue_database,
    require_autocommit,
)
from django_toosimple_q.wakeups.pipe import WakeUp
from django_toosimple_q.worker import platform
from django_toosimple_q.worker.backlog import Backlog
from django_toosimple_q.worker.clock import Clock
from django_toosimple_q.worker.deadlines import Deadlines
from django_toosimple_q.worker.execution import log_records, output
from django_toosimple_q.worker.execution.deadline import main_thread
from django_toosimple_q.worker.execution.hard_timeout import HardTimeout
from django_toosimple_q.worker.execution.isolation import drop_connections
from django_toosimple_q.worker.execution.pool import make_runner
from django_toosimple_q.worker.execution.thread_connections import thread_connections
from django_toosimple_q.worker.in_flight import InFlight
from django_toosimple_q.worker.liveness import Asking, Liveness
from django_toosimple_q.worker.maintenance import Maintenance
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.outage import Outage
from django_toosimple_q.worker.processes.recycling import reason_to_end
from django_toosimple_q.worker.processes.scoreboard import Scoreboard
from django_toosimple_q.worker.processes.shutdown import Shutdown
from django_toosimple_q.worker.processes.watchdog import Watchdog, stacks_printed
from django_toosimple_q.worker.registration import Registration
from django_toosimple_q.worker.scheduler import Scheduler
from django_toosimple_q.worker.upkeep import FLUSH_SECONDS, Upkeep

ExitCodes = WorkerStatus.ExitCodes


class Worker:
    """One worker. `run` works until it is told to stop; `run_once` is one step of it.

    One that drains the queue within a process of other code, such as a test, is a `guest`: it works
    by that code's clock and on its connection, and does not end the process. It beats like any
    other, unless nobody else can see its rows: then it is `hidden`.
    """

    def __init__(
        self,
        options: WorkerOptions,
        scoreboard: Scoreboard | None = None,
        *,
        owns_process: bool = False,
    ) -> None:
        self.options = options
        self.guest = guest = options.inline and not owns_process
        self.hidden = options.inline and is_hidden()
        self.watchdog = Watchdog(
            options.timeout, enabled=scoreboard is None and not guest and main_thread()
        )
        self.scoreboard = scoreboard or Scoreboard()
        self.registration = Registration(options, self.scoreboard)
        self.clock = Clock(self.registration)
        self.wakeup = WakeUp()
        self.hints = wakeups.Hints(self.wakeup)
        self.in_flight = InFlight(self.registration)
        self.runner = make_runner(options, self.in_flight, self.now, self.wakeup)
        self.shutdown = Shutdown(options.grace, self.runner, self.wakeup)
        self.backlog = Backlog(options.takes)
        self.scheduler = Scheduler(
            schedules_registry.for_queue(options.queues, options.excluded_queues)
            if options.schedules
            else []
        )
        self.maintenance = Maintenance(self.registration, patient=not self.hidden)
        self.outage = Outage()
        self.attention = wakeups.Attention()
        # A step failed, and is tried once more on new connections.
        self.renewed = False
        self.stopping_reported = False
        self.liveness = Liveness(
            self.registration, self.in_flight, self.runner, self.shutdown, self.wakeup, self.now
        )
        self.heartbeat = self.liveness.heartbeat
        self.upkeep = Upkeep(
            *(self.clock, self.maintenance, self.in_flight, self.runner, self.liveness),
            self.report_stopping,
            guest=guest,
        ).thread
        self.main = Asking(queue_connection())
        self.liveness.beside = [self.main, self.upkeep]
        hard_timeout = HardTimeout(self.in_flight, self.runner, self.shutdown, self.now, self.leave)
        self.deadlines = Deadlines(
            self.liveness, self.watchdog, None if guest else hard_timeout
        ).thread
        self.threads = (self.heartbeat, self.liveness.prober, self.upkeep, self.deadlines)

    # Life

    def run(self) -> int:
        """Register, work until told to stop, and return the exit code.

        Raises `LabelInUse` when a live worker holds the label, `NotMigrated` without tables.
        """
        code, log = int(ExitCodes.CRASHED), ""
        if not self.guest:
            require_autocommit()
            leave_pools()
            bound_waits(limits_for(self.options.beat, self.options.timeout))
            keep_within(self.options.timeout)
        with ExitStack() as stack:
            stack.callback(self.wakeup.close)
            stack.enter_context(thread_connections.watched())
            stack.enter_context(self.shutdown.installed())
            with self.start_bounded():
                if not self.entered():
                    return ExitCodes.STOPPED.value
            try:
                stack.enter_context(output.installed())
                stack.enter_context(log_records.kept())
                if not self.hidden:
                    self.start_threads(stack)
                self.runner.start()
                self.loop()
                self.runner.finish()
                self.empty()
                code, log = self.verdict()
            except BaseException:
                log = traceback.format_exc()
                raise
            finally:
                self.leave(code, log)
        return code

    def start_bounded(self) -> AbstractContextManager[None]:
        """Let a stop that is asked for during the start end the process, whatever it waits for."""
        owns = main_thread() and not self.guest
        return self.shutdown.bounded() if owns else nullcontext()

    def start_threads(self, stack: ExitStack) -> None:
        """Listen for hints, and start what goes on beside the tasks, until the stack closes."""
        if not self.options.inline:
            alias = queue_connection().alias
            self.hints = wakeups.listen(self.wakeup, queue_database(), alias)
            stack.callback(self.hints.close)
        if not self.guest:
            self.runner.separate(stack)
        stack.enter_context(self.heartbeat.running())
        stack.enter_context(self.liveness.prober.running())
        stack.enter_context(self.upkeep.running())
        stack.enter_context(stacks_printed())
        stack.enter_context(self.watchdog.running())
        self.scoreboard.beat()
        self.watchdog.feed()
        stack.callback(self.scoreboard.rest)
        stack.enter_context(self.deadlines.running())

    def entered(self) -> bool:
        """Enter as soon as the database answers; False when told to stop before it does."""
        while not self.shutdown.requested:
            try:
                self.enter()
            except (DatabaseError, InterfaceError) as error:
                self.sit_out(error)
                continue
            self.outage.back(self.registration.label)
            return True
        return False

    def enter(self) -> None:
        """Register, and rescue what dead workers left."""
        workers.require_tables()
        wait = None if self.options.inline else self.wakeup.wait
        self.liveness.silence.ask(time.monotonic())
        self.registration.enter(sorted(tasks_registry), self.now, wait)
        self.liveness.silence.answer(time.monotonic())
        if not self.guest:
            self.clock.synchronize()
        self.scheduler.sync(self.now())
        queues.ensure({task.queue_name for task in tasks_registry.values()})
        self.maintenance.run_once(self.now())
        signals.worker_started.send_robust(
            sender=self.registration.label,
            options=self.options,
            limits=platform.limits(inline=self.options.inline),
        )

    def loop(self) -> None:
        """Step, and wait when there was nothing to do."""
        while not self.shutdown.requested:
            unsure = bool(self.maintenance.undecided)
            try:
                worked = self.run_once(self.now())
            except (DatabaseError, InterfaceError) as error:
                self.main.acting_since = None
                if not self.renew_connections(error):
                    self.sit_out(error)
                continue
            self.renewed = False
            self.outage.back(self.registration.label)
            # Before it returns it knows whether others are dead whose heartbeats are missing.
            if self.options.inline and (self.options.once if worked else not unsure):
                return
            if not worked:
                self.wait()
        self.report_stopping()

    def run_once(self, now: datetime) -> bool:
        """Queue what is scheduled, claim what is next and run it; return whether anything was."""
        for beside in (*self.threads, self.runner):
            if beside.crash:
                raise beside.crash
        self.main.acting_since = time.monotonic()
        if self.liveness.fenced:
            self.start_over()
        queued = self.scheduler.run_once(now)
        was_read = bool(queued) or not self.backlog.is_fresh
        if was_read:
            self.backlog.read(now)
        limit = self.limit()
        finished, claimed = self.in_flight.finish_and_claim(
            self.backlog.buckets, limit, now, sorted(self.runner.skipped_names)
        )
        self.main.acting_since = None
        if claimed < limit:
            self.backlog.mark_empty()
        if claimed:
            self.upkeep.nudge()
            self.deadlines.nudge()
            self.release_excess()
        self.runner.work(self.goes_on)
        if self.options.inline:
            finished += self.in_flight.flush(self.now())
            self.in_flight.minutes.write(self.now())
        reason = reason_to_end(self.runner.count, self.options.max_tasks, self.options.max_memory)
        if reason:
            self.shutdown.request(reason)
        # A claim from an older backlog may miss newer rows: read it once more before a wait.
        more = self.scheduler.is_due(now) or (limit and not was_read)
        return bool(queued or finished or claimed or more)

    def wait(self) -> None:
        """Wait until something may be due, or a hint announces new work."""
        due = self.backlog.seconds_left(self.now(), self.scheduler.earliest())
        seconds = min(self.options.tick, due)
        if self.in_flight.finished:
            seconds = min(seconds, FLUSH_SECONDS)
        if self.options.inline:
            seconds = min(seconds, self.options.beat)
        seconds = min(seconds, self.attention.longest_wait(time.monotonic()))
        if self.hints.wait(seconds) and self.hints.debounced:
            self.attention.renew(time.monotonic())

    def leave(self, code: int, log: str) -> None:
        """Record how the worker ended, if the database answers."""
        try:
            self.registration.leave(code, log, self.now())
        except (DatabaseError, InterfaceError) as error:
            if not is_lost(error):
                raise
            self.outage.lost(error, self.registration.label)
        signals.worker_stopped.send_robust(
            sender=self.registration.label, exit_code=code, exit_log=log
        )

    # One step

    def limit(self) -> int:
        """Return how many rows to claim."""
        if not self.goes_on():
            return 0
        return self.in_flight.room(1 if self.options.once else self.runner.wanted())

    def release_excess(self) -> None:
        """Release the claimed rows that would not begin in a moment."""
        names = self.in_flight.ready_names()
        fitting = self.runner.batch.fit(names)
        if fitting < len(names) and not self.hidden:
            self.in_flight.release_ready(self.now(), keep=fitting)

    def goes_on(self) -> bool:
        """Return whether another row may start."""
        return not (self.shutdown.requested or self.liveness.fenced or self.liveness.silent)

    def empty(self) -> None:
        """Release what has not started and store what is finished, before leaving."""
        patience = time.monotonic() + self.options.timeout
        failed = False
        while True:
            try:
                if failed:
                    self.in_flight.reconcile(self.now())
                self.in_flight.release_ready(self.now())
                self.in_flight.flush(self.now())
                self.in_flight.flush_locked(self.now())
                if not self.in_flight.locked or time.monotonic() > patience:
                    self.in_flight.minutes.write(self.now(), at_once=True)
                    return
                time.sleep(FLUSH_SECONDS)
            except (DatabaseError, InterfaceError) as error:
                if time.monotonic() > patience:
                    raise
                failed = True
                self.sit_out(error)

    def start_over(self) -> None:
        """Register anew after we were declared dead: our rows belong to other workers by now."""
        self.in_flight.forget_unstarted()
        self.enter()
        self.liveness.fenced = False

    # Beside the tasks, in threads of their own

    # Small things

    def now(self) -> datetime:
        """Return the time by the database's clock; a guest's, by the caller's."""
        return self.clock.now()

    def renew_connections(self, error: Exception) -> bool:
        """Close this thread's connections, for one more try; False where none is due.

        A worker that shares its connection with tasks may find it changed in a way that no driver
        notices, by a function on the server.
        """
        waits = is_lost(error) and not self.options.inline
        if waits or self.renewed or queue_connection().in_atomic_block:
            return False
        self.renewed = True
        drop_connections()
        return True

    def sit_out(self, error: Exception) -> None:
        """Wait a while for a database that is out of reach; raise any other error again."""
        if self.options.inline or not is_lost(error):
            raise error
        if is_locked(error):
            # It is there: a lock of another session was waited for, and reported once.
            self.wakeup.wait(FLUSH_SECONDS)
            return
        self.runner.lost_at = time.monotonic()
        self.wakeup.wait(self.outage.lost(error, self.registration.label))

    def report_stopping(self) -> None:
        """Report once that the worker was asked to stop, and what it still waits for."""
        if self.shutdown.requested and not self.stopping_reported:
            self.stopping_reported = True
            self.in_flight.mark_interrupted()
            signals.worker_stopping.send_robust(
                sender=self.registration.label,
                reason=self.shutdown.reason,
                running=list(self.in_flight.running.values()),
            )

    def verdict(self) -> tuple[int, str]:
        """Return exit code and log of an orderly end."""
        # A worker that was declared dead did not finish all: 0 would say that it did.
        if self.runner.interrupted or self.liveness.fenced:
            return ExitCodes.TERMINATED.value, f"KeyboardInterrupt: {self.shutdown.reason}"
        return ExitCodes.STOPPED.value, ""
