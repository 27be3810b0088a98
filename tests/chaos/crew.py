"""A crew of real worker processes: strike one, see how it ended, put another in its place."""

import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import WorkerProcess

# A stopped worker is let go on after so many of its timeouts.
STOPPED_TIMEOUTS = 3.0
# What a worker may take to end beyond its grace.
PATIENCE_SECONDS = 2.0
START_SECONDS = 60.0
# A worker's memory is looked at so often, once it has got to know its tasks.
MEMORY_EVERY_SECONDS = 5.0
GROWN_UP_SECONDS = 60.0


class Member:
    """One worker of the crew."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self.struck: float | None = None
        self.ended: float | None = None
        self.stopped = False
        self.started = time.monotonic()
        self.megabytes: list[float] = []
        # Told by a thread of its own: how often we look is no part of how long an end takes.
        threading.Thread(target=self._await_end, daemon=True).start()

    def _await_end(self) -> None:
        self.worker.process.wait()
        self.ended = time.monotonic()

    @property
    def online(self) -> bool:
        """Return whether it has entered, and was not declared dead."""
        rows = WorkerStatus.objects.filter(pid=self.worker.pid, stopped=None, rescued=None)
        return rows.exists()

    @property
    def age(self) -> float:
        """Return for how many seconds it has run, or did."""
        return (self.ended or time.monotonic()) - self.started

    def look_at_memory(self) -> None:
        """Take in how much memory it holds, now and then."""
        if self.age > GROWN_UP_SECONDS + MEMORY_EVERY_SECONDS * len(self.megabytes):
            command = ["ps", "-o", "rss=", "-p", str(self.worker.pid)]
            kilobytes = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            # It may have ended just now.
            self.megabytes += [int(one) / 1024 for one in kilobytes.split()]


class Crew:
    """Keeps `size` workers running, whatever strikes them; the first `spared` are left alone."""

    def __init__(
        self,
        size: int,
        options: list[str],
        *,
        timeout: float,
        grace: float,
        seed: int,
        spared: int = 0,
    ) -> None:
        self.options = [*options, f"--timeout={timeout:g}", f"--grace={grace:g}"]
        self.timeout = timeout
        self.grace = grace
        self.random = random.Random(seed)
        self.spared = spared
        self.strikes = 0
        # When a process was killed, by its id.
        self.killed: dict[int, datetime] = {}
        self.exits: Counter[int] = Counter()
        self.slowest_exit = 0.0
        self.tracebacks = 0
        self.problems: list[str] = []
        # The one whose memory was looked at most often.
        self.eldest: Member | None = None
        self.members = [self._start() for _ in range(size)]

    def _start(self) -> Member:
        return Member(WorkerProcess(*self.options, verbosity=1))

    def wait_until_online(self) -> None:
        """Wait for everybody to enter: one that has not knows nothing of signals yet."""
        deadline = time.monotonic() + START_SECONDS
        while not all(member.online for member in self.members):
            if time.monotonic() > deadline:
                logs = [one.worker.log() for one in self.members if not one.online]
                raise AssertionError(f"{len(logs)} workers did not start: {logs}")
            self.tend()
            time.sleep(0.1)

    def strike(self, number: int) -> None:
        """Send a signal to one of those that run."""
        standing = [
            member
            for member in self.members[self.spared :]
            if member.struck is None and member.worker.process.poll() is None
        ]
        if number != signal.SIGKILL:
            # One that has not set its handlers up yet is Python's to end, not ours.
            standing = [member for member in standing if member.online]
        if not standing or (number == signal.SIGSTOP and len(standing) <= len(self.members) / 2):
            return
        member = self.random.choice(standing)
        self.strikes += 1
        member.struck = time.monotonic()
        member.stopped = number == signal.SIGSTOP
        if number == signal.SIGKILL:
            self.killed[member.worker.pid] = timezone.now()
        member.worker.send(number)

    def tend(self) -> None:
        """Let stopped workers go on in time, and put another in the place of each that ended."""
        for place, member in enumerate(self.members):
            if member.worker.process.poll() is None:
                self._look_after(member)
            else:
                self._bury(member)
                self.members[place] = self._start()

    def _look_after(self, member: Member) -> None:
        member.look_at_memory()
        if self.eldest is None or len(member.megabytes) > len(self.eldest.megabytes):
            self.eldest = member
        if member.struck is None:
            return
        seconds = time.monotonic() - member.struck
        if member.stopped and seconds > STOPPED_TIMEOUTS * self.timeout:
            member.worker.send(signal.SIGCONT)
            member.struck, member.stopped = None, False
        elif not member.stopped and seconds > 10 * (self.grace + PATIENCE_SECONDS):
            raise AssertionError(f"worker {member.worker.pid} does not end: {member.worker.log()}")

    def _bury(self, member: Member) -> None:
        """Take in how a worker ended."""
        code = member.worker.process.returncode
        self.exits[code] += 1
        if member.struck is not None and code >= 0:
            ended = member.ended or time.monotonic()
            self.slowest_exit = max(self.slowest_exit, ended - member.struck)
        if code >= 0 and self._left_behind(member):
            self.problems.append(f"worker {member.worker.pid} ended {code} with rows PROCESSING")
        log = member.worker.log()
        if "Traceback" in log:
            self.tracebacks += log.count("Traceback")
            self.problems.append(f"worker {member.worker.pid} logged: {log[-2000:]}")
        member.worker.end()

    def _left_behind(self, member: Member) -> bool:
        own = TaskExec.objects.filter(state="PROCESSING", worker__pid=member.worker.pid)
        return own.filter(worker__stopped__isnull=False).exists()

    def let_go_on(self) -> None:
        """End the storm: wake whoever is stopped."""
        for member in self.members:
            if member.stopped and member.worker.process.poll() is None:
                member.worker.send(signal.SIGCONT)
                member.struck, member.stopped = None, False

    def dismiss(self) -> None:
        """Let everybody finish, and count how they end."""
        self.let_go_on()
        self.wait_until_online()
        for member in self.members:
            if member.worker.process.poll() is None:
                member.worker.send(signal.SIGTERM)
        for member in self.members:
            member.worker.wait(10 * (self.grace + PATIENCE_SECONDS))
            self._bury(member)

    def end(self) -> None:
        """Kill whoever is left."""
        for member in self.members:
            member.worker.end()


def wait_until(
    condition: Callable[[], bool], crew: Crew, seconds: float, show: Callable[[], None]
) -> bool:
    """Tend the crew until a condition holds; False when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        crew.tend()
        show()
        time.sleep(0.2)
    return True
