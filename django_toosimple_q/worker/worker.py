"""The worker: step, then one wait. Claims rows, runs them, and hands in what came of them."""

import time
import traceback
from contextlib import ExitStack
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError

from django_toosimple_q import notify, signals
from django_toosimple_q.exceptions import NotMigrated
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.notify.wakeup import WakeUp
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.store import queues, workers
from django_toosimple_q.store.dialect import leave_pools
from django_toosimple_q.store.step import is_lost, queue_connection, queue_family
from django_toosimple_q.worker import capture, identity
from django_toosimple_q.worker.board import Board
from django_toosimple_q.worker.clock import Clock
from django_toosimple_q.worker.deadline import ThreadSlot, main_thread
from django_toosimple_q.worker.hands import Hands
from django_toosimple_q.worker.last_resort import LastResort
from django_toosimple_q.worker.maintenance import Maintenance
from django_toosimple_q.worker.memory import resident_megabytes
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.outlook import Outlook
from django_toosimple_q.worker.runner import Pool, Runner
from django_toosimple_q.worker.scheduler import Scheduler
from django_toosimple_q.worker.service import Service
from django_toosimple_q.worker.stopping import StopSignals
from django_toosimple_q.worker.trouble import Silence, Trouble
from django_toosimple_q.worker.watchdog import Watchdog, stacks_printed

ExitCodes = WorkerStatus.ExitCodes

# A task that runs longer gives the rows claimed with it back to the others.
OVERSTAY_SECONDS = 0.2
FLUSH_SECONDS = 0.05


class Worker:
    """One worker. `run` works until it is told to stop; `run_once` is one step of it."""

    def __init__(self, options: WorkerOptions, board: Board | None = None) -> None:
        self.options = options
        self.board = board or Board()
        self.watchdog = Watchdog(
            options.timeout, enabled=board is None and not options.inline and main_thread()
        )
        self.clock = Clock()
        self.wakeup = WakeUp()
        self.me = WorkerStatus(label=options.resolved_label(), timeout=self.timeout)
        self.hands = Hands(self.me, self.board)
        self.runner = self.make_runner()
        self.stop = StopSignals(options.grace, self.runner, self.wakeup)
        self.outlook = Outlook(options.takes)
        self.attentive_until = 0.0
        self.fenced = False
        self.told_stopping = False
        # A thread that no lock holds up: a worker whose heart stands still counts as dead.
        self.heart = Service("heart", options.beat, self.beat)
        self.service = Service(
            "service", options.beat, self.look_around, self.relieve, lambda: self.hands.busy
        )
        # A thread that no silent database holds up.
        self.timekeeper = Service(
            "time", options.beat / 2, self.show_life, self.keep_time, lambda: self.hands.busy
        )
        self.last_resort = LastResort(self.hands, self.runner, self.stop, self.now, self.leave)
        self.trouble = Trouble(self.me.label)
        self.silence = Silence()
        self.hints = notify.Hints(self.wakeup)

    def make_runner(self) -> Runner:
        """Return where tasks run."""
        if self.options.threads > 1 and not self.options.inline:
            return Pool(self.hands, self.now, self.wakeup, self.options.threads)
        return Runner(self.hands, self.now, self.wakeup)

    # Life

    def run(self) -> int:
        """Register, work until told to stop, and return the exit code.

        Raises `LabelInUse` when a live worker holds the label, `NotMigrated` without tables.
        """
        code, log = int(ExitCodes.CRASHED), ""
        if not self.options.inline:
            leave_pools()
        with ExitStack() as stack:
            stack.callback(self.wakeup.close)
            stack.enter_context(self.stop.installed())
            if not self.arrived():
                return ExitCodes.STOPPED.value
            try:
                stack.enter_context(capture.installed())
                if not self.options.inline:
                    alias = queue_connection().alias
                    self.hints = notify.listen(self.wakeup, alias, queue_family())
                    stack.callback(self.hints.close)
                    stack.enter_context(self.heart.running())
                    stack.enter_context(self.service.running())
                    stack.enter_context(stacks_printed())
                    stack.enter_context(self.watchdog.running())
                    self.board.beat()
                    stack.callback(self.board.rest)
                    stack.enter_context(self.timekeeper.running())
                self.runner.start()
                self.loop()
                self.runner.finish()
                self.empty_hands()
                code, log = self.verdict()
            except BaseException:
                log = traceback.format_exc()
                raise
            finally:
                self.leave(code, log)
        return code

    def arrived(self) -> bool:
        """Enter as soon as the database answers; False when told to stop before it does."""
        while not self.stop.requested:
            try:
                self.enter()
            except (DatabaseError, InterfaceError) as error:
                self.sit_out(error)
                continue
            self.trouble.back()
            return True
        return False

    def enter(self) -> None:
        """Take a place among the workers, and look after what others left."""
        missing = workers.missing_tables()
        if missing:
            raise NotMigrated(
                f"the database has no {missing[0]}"
                f"{f' (nor {len(missing) - 1} more)' if missing[1:] else ''}. "
                "Run `manage.py migrate` first."
            )
        # Entering again after the database was lost half way, we are not in our own way.
        identity.running_here.discard(self.me.incarnation)
        self.me = identity.register(
            self.me.label,
            label_is_default=self.options.label_is_default,
            settings={
                "included_queues": list(self.options.queues),
                "excluded_queues": list(self.options.excluded_queues),
                "timeout": self.timeout,
                "tasks": sorted(tasks_registry),
            },
            now=self.now,
            wait=None if self.options.inline else self.wakeup.wait,
        )
        self.hands.me = self.me
        self.board.enter(self.me.pk, self.me.incarnation)
        self.trouble.label = self.silence.label = self.clock.label = self.me.label
        self.scheduler = Scheduler(
            schedules_registry.for_queue(self.options.queues, self.options.excluded_queues)
            if self.options.schedules
            else []
        )
        self.maintenance = Maintenance(self.me, patient=not self.options.inline)
        self.measure_clock()
        self.scheduler.sync(self.now())
        queues.note({task.queue_name for task in tasks_registry.values()})
        self.maintenance.run_once(self.now())
        signals.worker_started.send_robust(sender=self.me.label, options=self.options)

    def loop(self) -> None:
        """Step, and wait when there was nothing to do."""
        while not self.stop.requested:
            try:
                worked = self.run_once(self.now())
            except (DatabaseError, InterfaceError) as error:
                self.sit_out(error)
                continue
            self.trouble.back()
            if self.options.once or (self.options.until_done and not worked):
                return
            if not worked:
                self.wait()
        self.tell_stopping()

    def run_once(self, now: datetime) -> bool:
        """Queue what is scheduled, claim what is next and run it; return whether anything was."""
        for beside in (self.heart, self.service, self.timekeeper, self.runner):
            if beside.crash:
                raise beside.crash
        if self.fenced:
            self.start_over()
        queued = self.scheduler.run_once(now)
        looked = bool(queued) or not self.outlook.is_fresh
        if looked:
            self.outlook.look(now)
        limit = self.limit()
        if self.outlook.places and limit:
            self.watchdog.arm()
        finished, claimed = self.hands.turn_over(
            self.outlook.places, limit, now, sorted(self.runner.skipped_names)
        )
        if claimed < limit:
            self.outlook.exhaust()
        if claimed:
            self.service.nudge()
            self.timekeeper.nudge()
        self.runner.work(self.goes_on)
        if self.options.inline:
            finished += self.hands.flush(self.now())
        self.recycle()
        # A claim on the word of an older look may miss what came since.
        return bool(queued or finished or claimed or (limit and not looked))

    def wait(self) -> None:
        """Wait until something may be due, or something tells of new work."""
        if not self.hands.busy:
            self.watchdog.disarm()
        due = self.outlook.seconds_left(self.now(), self.scheduler.earliest())
        seconds = min(self.options.tick, due)
        if self.hands.finished:
            seconds = min(seconds, FLUSH_SECONDS)
        if time.monotonic() < self.attentive_until:
            seconds = min(seconds, notify.LOOK_EVERY_SECONDS)
        if self.hints.wait(seconds) and self.hints.debounced:
            self.attentive_until = time.monotonic() + notify.ATTENTIVE_SECONDS

    def leave(self, code: int, log: str) -> None:
        """Write how it ended, if the database lets us."""
        identity.running_here.discard(self.me.incarnation)
        try:
            workers.stop(self.me.pk, self.me.incarnation, code, log, self.now())
            self.board.leave()
        except (DatabaseError, InterfaceError) as error:
            if not is_lost(error):
                raise
            self.trouble.lost(error)
        signals.worker_stopped.send_robust(sender=self.me.label, exit_code=code, exit_log=log)

    # One step

    def limit(self) -> int:
        """Return how many rows to claim."""
        if self.stop.requested:
            return 0
        return 1 if self.options.once else self.runner.wanted()

    def goes_on(self) -> bool:
        """Tell whether another row may start."""
        return not self.stop.requested and not self.fenced

    def recycle(self) -> None:
        """Stop after so many tasks, or beyond so much memory, between two tasks."""
        tasks, memory = self.options.max_tasks, self.options.max_memory
        if not self.runner.count:
            # A process that is too large from the start shall at least do something.
            return
        if tasks is not None and self.runner.count >= tasks:
            self.stop.request(f"--max_tasks={tasks}")
        elif memory is not None and resident_megabytes() > memory:
            self.stop.request(f"--max_memory={memory:g}")

    def empty_hands(self) -> None:
        """Hand back what has not started and hand in what is finished, before leaving."""
        patience = time.monotonic() + self.options.timeout
        while True:
            try:
                self.hands.hand_back(self.now())
                self.hands.flush(self.now())
                return
            except (DatabaseError, InterfaceError) as error:
                if time.monotonic() > patience:
                    raise
                self.sit_out(error)

    def start_over(self) -> None:
        """Enter anew after we were declared dead: what we held is somebody else's by now."""
        self.hands.drop()
        self.enter()
        self.fenced = False

    # Beside the tasks, in threads of their own

    def beat(self) -> None:
        """Say that we live; where nobody believes it any more, stop what runs elsewhere by now."""
        if workers.beat(self.me.pk, self.me.incarnation) or self.restored():
            return
        self.fenced = True
        self.wakeup.set()
        lost = self.hands.lost()
        if lost and not self.stop.requested:
            self.stop.interrupt(f"declared dead while paused, task {lost[0]} runs elsewhere")

    def look_around(self) -> None:
        """Look after the others, and after our own books."""
        if self.fenced:
            return
        self.measure_clock()
        self.maintenance.run_once(self.now())
        if self.hands.reconcile(self.now()):
            self.wakeup.set()
        self.hands.heed_cancels(self.now())
        self.runner.skipped_names.clear()

    def restored(self) -> bool:
        """Put our row back that somebody deleted; False when we were declared dead instead."""
        restored = self.hands.restore(self.now())
        if restored:
            signals.worker_restored.send_robust(sender=self.me.label)
        return restored

    def relieve(self) -> None:
        """Act for a main thread that a long task keeps: hand in, hand back."""
        self.tell_stopping()
        now = time.monotonic()
        if self.hands.finished and now - self.hands.finished_since > FLUSH_SECONDS:
            self.hands.flush(self.now())
        if self.hands.ready and self.overstayed(now):
            self.hands.hand_back(self.now())
        self.runner.make_way()

    def show_life(self) -> None:
        """Show to whoever watches that this process runs Python; tell of a silent database."""
        self.board.beat()
        self.watchdog.feed()
        self.silence.look(self.heart.acting_since, time.monotonic())

    def keep_time(self) -> None:
        """Act on signals and deadlines where the threads of the tasks do not."""
        self.stop.heed()
        for slot in self.runner.slots:
            if isinstance(slot, ThreadSlot):
                slot.look()
        self.last_resort.look()

    def overstayed(self, now: float) -> bool:
        """Tell whether every slot is kept by a task that runs long."""
        return all(
            slot.inside and now - slot.began > OVERSTAY_SECONDS for slot in self.runner.slots
        )

    # Small things

    def now(self) -> datetime:
        """Return the time by the database's clock; inline, the caller's counts."""
        return self.clock.now()

    def sit_out(self, error: Exception) -> None:
        """Wait a while for a database that is out of reach; raise any other error again."""
        if self.options.inline or not is_lost(error):
            raise error
        self.runner.lost_at = time.monotonic()
        self.wakeup.wait(self.trouble.lost(error))

    def measure_clock(self) -> None:
        """Look at the database's clock."""
        if not self.options.inline:
            self.clock.look()

    def tell_stopping(self) -> None:
        """Tell once that the worker was asked to stop, and what it still waits for."""
        if self.stop.requested and not self.told_stopping:
            self.told_stopping = True
            self.hands.tell_running()
            signals.worker_stopping.send_robust(
                sender=self.me.label,
                reason=self.stop.reason,
                running=list(self.hands.running.values()),
            )

    def verdict(self) -> tuple[int, str]:
        """Return exit code and log of an orderly end."""
        # One that was declared dead has not finished all: 0 would tell its starter to leave it.
        if self.runner.cut_off or self.fenced:
            return ExitCodes.TERMINATED.value, f"KeyboardInterrupt: {self.stop.reason}"
        return ExitCodes.STOPPED.value, ""

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.options.timeout)
