"""A small queue in one thread: callers, workers that come and go, and faults, all by one seed."""

import random
from collections import Counter, defaultdict
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from django_toosimple_q import queues
from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.execution import current_task
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs, task_execs
from django_toosimple_q.store.transaction import is_lost
from django_toosimple_q.worker.execution.deadline import Slot
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.worker import Worker
from tests.app.models import Effect
from tests.faults.wrapper import Faults
from tests.support import make_task, wait_for

States = TaskExec.States
UNKNOWN, FOREIGN = "unknown", "foreign"
# No process has this id.
NOBODY = 2**31 - 1
STEPS = 60
SHARE = 0.06
ENTER_IN_PEACE = 0.7
MISSED_OCCURRENCES = 30
LOST = (OperationalError, InterfaceError)


class Member:
    """A worker in this process, and whether its process stands still."""

    def __init__(self, label: str) -> None:
        self.worker = Worker(WorkerOptions(label=label, timeout=600))
        # The test's own process keeps its signals.
        self.worker.runner.slots = [Slot()]
        self.entered = False
        self.paused = False

    def step(self) -> bool:
        """Let it do one step of its loop; return whether it did anything."""
        try:
            if not self.entered:
                self.worker.enter()
                self.worker.runner.start()
                self.entered = True
            worked = self.worker.run_once(self.worker.now())
        except (DatabaseError, InterfaceError) as error:
            if not is_lost(error):
                raise
            self.worker.outage.lost(error, self.worker.registration.label)
            return True
        self.worker.outage.back(self.worker.registration.label)
        return worked

    def beat(self) -> None:
        """Let it do what its service does, guarded as there."""
        if not self.entered:
            return
        try:
            self.worker.liveness.beat()
            self.worker.upkeep.on_beat()
            self.worker.upkeep.on_busy_tick()
        except (DatabaseError, InterfaceError):
            connection.close()


class World:
    """What happens under one seed; `broken` tells what must not have."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.faults = Faults(connection, seed, SHARE)
        self.labels = 0
        self.steps = 0
        # What callers know to be queued, by id, and which of it they have cancelled since.
        self.acknowledged: dict[int, str] = {}
        self.cancelled: set[int] = set()
        self.rolled_back: list[str] = []
        self.runs: Counter[int] = Counter()
        self.queued_at: dict[str, int] = {}
        self.ran_at: dict[str, int] = defaultdict(int)
        self.old: list[int] = []
        # When the schedule's occurrences began to be missed.
        self.missed = timezone.now() - timedelta(seconds=MISSED_OCCURRENCES)
        self._define()
        # What came about, besides faults: a test that none of it happens in proves nothing.
        self.happened: Counter[str] = Counter()
        self.members: list[Member] = []

    # What there is to run

    def _define(self) -> None:
        self.tasks = {
            "plain": make_task("plain", lambda key: self._plain(key)),
            "failing": make_task("failing", lambda key: self._fail(key), retries=2),
            "held": make_task("held", lambda key: self._plain(key), on_interruption="hold"),
            "atomic": make_task("atomic", lambda key: self._atomic(key), atomic=True, retries=5),
            "unique": make_task("unique", lambda key: self._unique(key), unique=True),
            "limited": make_task("limited", lambda key: self._plain(key), max_running=1),
            "second": make_task("second", lambda at: self._plain(str(at)), queue="seconds"),
        }
        schedule_task(cron="* * * * * *", name="seconds", catch_up=True, datetime_kwarg="at")(
            self.tasks["second"]
        )

    def _plain(self, key: str) -> str:
        self.runs[current_task().pk] += 1
        return key

    def _fail(self, key: str) -> None:
        self._plain(key)
        raise ValueError(key)

    def _atomic(self, key: str) -> None:
        self._plain(key)
        Effect.objects.create(key=key)

    def _unique(self, key: str) -> None:
        self._plain(key)
        self.ran_at[key] = self.steps

    # What happens

    def blow(self) -> None:
        """Let things happen at random, faults among them."""
        self._make_history()
        self.members = [self._new_member() for _ in range(2)]
        actions = [self._call] * 8 + [self._step] * 12 + [self._beat] * 4
        actions += [
            self._write_strange,
            self._roll_back,
            self._cancel,
            self._requeue,
            self._close_or_open_queue,
            self._kill,
            self._kill_in_sight,
            self._pause,
            self._go_on,
        ]
        with self.faults.installed(), self.faults.blowing():
            for _ in range(STEPS):
                self.steps += 1
                self.random.choice(actions)()

    def calm(self) -> None:
        """Let the survivors drain what is left, without faults."""
        connection.close()
        queues.resume("default")
        for member in self.members:
            self._resume(member)
        wait_for(self._drained, timeout=20, every=0)

    def _drained(self) -> bool:
        self.steps += 1
        for place, member in enumerate(self.members):
            if member.worker.shutdown.requested:
                self.members[place] = self._new_member()
                continue
            while member.step():
                pass
            member.beat()
        left = TaskExec.objects.filter(state__in=States.todo()).exclude(task_name=FOREIGN)
        return not left.exists()

    def _make_history(self) -> None:
        """Have occurrences that were missed, and rows that were kept long enough."""
        schedule_execs.sync([schedules_registry["seconds"]], ["seconds"], self.missed)
        long_ago = timezone.now() - timedelta(days=60)
        WorkerStatus.objects.create(
            label="other", host="elsewhere", timeout=timedelta(days=1), tasks=[FOREIGN]
        )
        for _ in range(3):
            row = TaskExec(task_name="plain", args=[], state=States.SUCCEEDED, finished=long_ago)
            row.save()
            self.old.append(row.pk)

    def _call(self) -> None:
        kind = self.random.choice(["plain", "failing", "held", "atomic", "unique", "limited"])
        key = f"{kind}-{self.random.randrange(3) if kind == 'unique' else self.steps}"
        count = 1 if kind == "unique" else self.random.choice([1, 1, 3])
        try:
            rows = self.tasks[kind].queue_many([(f"{key}-{n}",) for n in range(count)])
        except LOST:
            connection.close()  # the caller cannot know, and may call again
            return
        for row in rows:
            self.acknowledged[row.pk] = kind
        if kind == "unique":
            self.queued_at[f"{key}-0"] = self.steps

    def _write_strange(self) -> None:
        """Have rows of a name that nobody knows, and of one that another worker knows."""
        with self.faults.waiting():
            for name in (UNKNOWN, FOREIGN):
                TaskExec.objects.create(task_name=name, args=[self.steps])

    def _roll_back(self) -> None:
        key = f"rolled back {self.steps}"
        try:
            with transaction.atomic():
                self.tasks["plain"].queue(key)
                self.rolled_back.append(key)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        except LOST:
            connection.close()

    def _cancel(self) -> None:
        plain = [pk for pk, kind in self.acknowledged.items() if kind == "plain"]
        if plain:
            pk = self.random.choice(plain)
            self.cancelled.add(pk)
            try:
                TaskExec(pk=pk).cancel("by chance")
            except LOST:
                connection.close()

    def _step(self) -> None:
        self._awake().step()

    def _beat(self) -> None:
        self._awake().beat()

    def _requeue(self) -> None:
        """Let a person queue a call again that has ended, whichever way."""
        mine = TaskExec.objects.filter(pk__in=self.acknowledged, state__in=States.done())
        try:
            row = mine.order_by("pk").first()
            if row:
                task_execs.requeue(row, timezone.now())
        except LOST:
            connection.close()
        else:
            self.happened["requeued"] += bool(row)

    def _close_or_open_queue(self) -> None:
        try:
            self.random.choice([queues.pause, queues.resume])("default")
        except LOST:
            connection.close()

    def _kill(self) -> Member:
        """Let a worker vanish with all it has in hand."""
        victim = self.random.choice(self.members)
        self.happened["killed with rows in hand"] += victim.worker.in_flight.busy
        self._vanish(victim)
        self.members[self.members.index(victim)] = self._new_member()
        return victim

    def _kill_in_sight(self) -> None:
        """Let a worker vanish whose supervisor sees it, and recovers its rows."""
        victim = self._kill()
        in_flight = victim.worker.in_flight
        ended = [claimed.pk for claimed, _ in in_flight.finished]
        if victim.entered:
            try:
                task_execs.recover(
                    in_flight.registration.claimant, [], ended, "exit code -9", timezone.now()
                )
            except LOST:
                connection.close()
            else:
                self.happened["recovered"] += bool(ended)

    def _pause(self) -> None:
        """Let a worker stand still so long that it counts as dead."""
        member = self.random.choice(self.members)
        if member.entered and not any(one.paused for one in self.members):
            member.paused = True
            self._vanish(member)

    def _go_on(self) -> None:
        for member in self.members:
            self._resume(member)

    def _resume(self, member: Member) -> None:
        if member.paused:
            member.paused = False
            with self.faults.waiting():
                me = member.worker.registration.row
                WorkerStatus.objects.filter(incarnation=me.incarnation).update(pid=me.pid)

    def _vanish(self, member: Member) -> None:
        with self.faults.waiting():
            me = member.worker.registration.row
            WorkerStatus.objects.filter(incarnation=me.incarnation).update(pid=NOBODY)

    def _awake(self) -> Member:
        return self.random.choice([member for member in self.members if not member.paused])

    def _new_member(self) -> Member:
        self.labels += 1
        # Given labels and default ones take different ways in.
        member = Member(f"w{self.labels}" if self.labels % 2 else "worker-{pid}")
        if self.random.random() < ENTER_IN_PEACE:
            # The way in is long: among faults few would ever come to work.
            with self.faults.waiting():
                member.step()
        return member
