"""A storm: calls come in all the time, and every second a worker at random is struck."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs, workers
from tests.app.tasks import second, storm_atomic, storm_held, storm_plain
from tests.chaos.account import Account, Call, settle
from tests.chaos.crew import Crew, wait_until

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "STOP": signal.SIGSTOP}
EXPECTED_EXITS = {"KILL": {-9, 0}, "TERM": {0, 77}, "STOP": {0, 77}}
# One call in ten is held, three are atomic.
KINDS = ["plain"] * 6 + ["atomic"] * 3 + ["held"]
TASKS = {"plain": storm_plain, "atomic": storm_atomic, "held": storm_held}
LONGEST_TASK_SECONDS = 0.03
# Under SIGTERM some outlast the grace. A kill a second would hit each of these again and again.
LONG_TASK_GRACES = 4
SCHEDULE = "app.every_second"

Show = Callable[[float, Callable[[], int], int], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a storm is made of."""

    seconds: float = 60.0
    tasks: int = 10_000
    workers: int = 4
    signal: str = "KILL"
    every: float = 1.0
    seed: int = 0
    timeout: float = 4.0
    grace: float = 0.5
    patience: float = 180.0
    exit_seconds: float = 2.0
    spared: int = 0


def quiet(seconds: float, done: Callable[[], int], strikes: int) -> None:
    """Show no progress."""


def run_storm(plan: Plan, folder: Path, show: Show = quiet) -> Account:
    """Queue the calls bit by bit while workers are struck, wait for the last, and account."""
    ledger = folder / "ledger"
    callers = Callers(plan, ledger)
    crew = _crew(plan, ["--no_schedules", "--tick=0.2"])
    try:
        crew.wait_until_online()
        began = time.monotonic()
        _blow(plan, crew, callers, show)
        crew.let_go_on()
        drained = wait_until(
            _drained, crew, plan.patience, lambda: show(plan.seconds, _done, crew.strikes)
        )
        seconds = time.monotonic() - began
        crew.dismiss()
    finally:
        crew.end()
    account = settle(callers.calls, ledger)
    if not drained:
        account.broken.append(f"not drained {plan.patience:g} s after the storm")
    _add_exits(account, plan, crew)
    _add_delays(account, crew)
    account.figures["seconds until the last call had ended"] = f"{seconds:.1f}"
    return account


def run_schedules(plan: Plan, show: Show = quiet) -> Account:
    """Let workers race for a schedule by the second while they are struck; count occurrences."""
    start = workers.clock()
    schedule_execs.sync([schedules_registry[SCHEDULE]], list(schedules_registry), start)
    before = ScheduleExec.objects.get(name=SCHEDULE).last_due
    crew = _crew(plan, ["--queue=seconds", "--tick=0.2"])
    try:
        crew.wait_until_online()
        _blow(plan, crew, None, show)
        crew.let_go_on()
        caught_up = wait_until(_caught_up, crew, plan.patience, lambda: None)
        crew.dismiss()
    finally:
        crew.end()
    account = Account()
    _add_occurrences(account, before)
    if not caught_up:
        account.broken.append("the schedule did not catch up")
    _add_exits(account, plan, crew)
    return account


def _crew(plan: Plan, options: list[str]) -> Crew:
    return Crew(
        plan.workers,
        options,
        timeout=plan.timeout,
        grace=plan.grace,
        seed=plan.seed,
        spared=plan.spared,
    )


def _blow(plan: Plan, crew: Crew, callers: "Callers | None", show: Show) -> None:
    """Strike as often as planned until the time is over, while calls come in."""
    began = time.monotonic()
    next_strike = began + plan.every
    while (seconds := time.monotonic() - began) < plan.seconds:
        if callers:
            callers.queue_share(seconds)
        if time.monotonic() >= next_strike:
            crew.strike(SIGNALS[plan.signal])
            next_strike += plan.every
            if callers and plan.signal == "TERM":
                callers.queue_long()
        crew.tend()
        show(seconds, _done, crew.strikes)
        time.sleep(max(0.0, min(0.2, next_strike - time.monotonic())))
    if callers:
        callers.queue_share(plan.seconds)


class Callers:
    """Queue calls bit by bit, and keep what was queued by the id of its row."""

    def __init__(self, plan: Plan, ledger: Path) -> None:
        self.plan = plan
        self.ledger = str(ledger)
        self.random = random.Random(plan.seed)
        self.calls: dict[int, Call] = {}
        self.count = 0
        self.long = 0

    def queue_share(self, seconds: float) -> None:
        """Queue what is to come in until so many seconds of the storm."""
        end = int(self.plan.tasks * min(seconds / self.plan.seconds, 1))
        keys: dict[str, list[str]] = {kind: [] for kind in TASKS}
        for number in range(self.count, end):
            kind = self.random.choice(KINDS)
            keys[kind].append(f"{kind}-{number}")
        self.count = end
        for kind, named in keys.items():
            longest = LONGEST_TASK_SECONDS
            rows = TASKS[kind].queue_many(
                [(self.ledger, key, self.random.uniform(0, longest)) for key in named]
            )
            self.calls |= {row.pk: Call(key, kind) for row, key in zip(rows, named, strict=True)}

    def queue_long(self) -> None:
        """Queue a call that outlasts the grace."""
        self.long += 1
        key, seconds = f"long-{self.long}", LONG_TASK_GRACES * self.plan.grace
        row = storm_plain.using(priority=1).queue(self.ledger, key, seconds)
        self.calls[row.pk] = Call(key, "plain")


def _done() -> int:
    return TaskExec.objects.filter(state=TaskExec.States.SUCCEEDED).count()


def _drained() -> bool:
    return not TaskExec.objects.filter(state__in=TaskExec.States.todo()).exists()


def _caught_up() -> bool:
    last_due = ScheduleExec.objects.get(name=SCHEDULE).last_due
    return last_due is not None and workers.clock() - last_due < timedelta(seconds=2) and _drained()


def _add_exits(account: Account, plan: Plan, crew: Crew) -> None:
    account.figures["strikes"] = crew.strikes
    exits = {code: crew.exits[code] for code in sorted(crew.exits)}
    account.figures["exit codes (code: workers)"] = exits
    account.must_be_none("other exit codes", set(exits) - EXPECTED_EXITS[plan.signal])
    account.figures["tracebacks in all logs"] = crew.tracebacks
    if crew.eldest and crew.eldest.megabytes:
        held = crew.eldest.megabytes
        account.figures["seconds that the eldest worker lived"] = f"{crew.eldest.age:.0f}"
        account.figures["  MB that it held after a minute"] = f"{held[0]:.1f}"
        account.figures["  MB at the end"] = f"{held[-1]:.1f}"
        account.figures["  MB at most"] = f"{max(held):.1f}"
    account.broken += crew.problems
    if plan.signal == "TERM":
        account.figures["slowest exit in seconds"] = f"{crew.slowest_exit:.2f}"
        if crew.slowest_exit > plan.grace + plan.exit_seconds:
            account.broken.append(f"an exit took {crew.slowest_exit:.2f} s")


def _add_delays(account: Account, crew: Crew) -> None:
    """Tell how long rows stayed with a worker that was killed."""
    taken = TaskExec.objects.filter(state=TaskExec.States.INTERRUPTED, worker__isnull=False)
    delays = sorted(
        (row.finished - crew.killed[row.worker.pid]).total_seconds()
        for row in taken.select_related("worker")
        if row.worker.pid in crew.killed
    )
    if delays:
        figures = account.figures
        figures["seconds from a kill to the replacement, median"] = f"{median(delays):.2f}"
        figures["  at most"] = f"{delays[-1]:.2f}"


def _add_occurrences(account: Account, before: datetime | None) -> None:
    rows = TaskExec.objects.filter(task_name=second.task.name, root_id=None)
    found = sorted(row.kwargs["at"] for row in rows)
    last = ScheduleExec.objects.get(name=SCHEDULE).last_due
    assert before is not None
    assert last is not None
    count = int(last.timestamp()) - int(before.timestamp())
    expected = [
        before.replace(microsecond=0) + timedelta(seconds=number + 1) for number in range(count)
    ]
    account.figures["occurrences"] = len(expected)
    account.must_be_none("missing", set(expected) - set(found))
    account.must_be_none("queued twice", (a for a, b in pairwise(found) if a == b))
    account.must_be_none("never due", set(found) - set(expected))
    todo = TaskExec.objects.filter(state__in=[*TaskExec.States.todo(), TaskExec.States.FAILED])
    account.must_be_none("stuck or FAILED", todo.values_list("pk", flat=True))
