"""Measure one contestant on an empty database, and check that it ran every task once."""

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.contestants import Contestant
from harness.environments import BENCHMARKS, Unmeasurable, python_of
from harness.servers import REDIS_URL

RECORD = struct.Struct("<qqq")  # as peers/ledger.py writes it
STEP_SECONDS = 600
STALL_SECONDS = 60
STOP_SECONDS = 20
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Drained:
    """The result of one drain: rates in tasks a second, and peak memory in megabytes."""

    rate: float
    peak_megabytes: float


class Site:
    """A contestant on one database, with a ledger. The steps of a measurement share it."""

    def __init__(self, contestant: Contestant, database: str, name: str, folder: Path) -> None:
        self.contestant = contestant
        self.ledger = folder / "ledger"
        self.log = folder / "worker.log"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            **contestant.environment,
            "PYTHONPATH": str(BENCHMARKS),
            "DJANGO_SETTINGS_MODULE": f"peers.{contestant.peer}.settings",
            "BENCH_DATABASE": database,
            "BENCH_NAME": name,
            "BENCH_LEDGER": str(self.ledger),
            "BENCH_REDIS_URL": REDIS_URL,
        }
        self.ledger.write_bytes(b"")

    def ask(self, *arguments: object) -> str:
        """Run one command of the peer's driver, and return its output."""
        try:
            ran = subprocess.run(
                self._driver(*arguments),
                cwd=BENCHMARKS,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=STEP_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unmeasurable(f"{self._what(arguments)} took over {STEP_SECONDS} s.") from None
        if ran.returncode:
            errors = ran.stderr.strip()[-2000:]
            last = errors.splitlines()[-1] if errors else f"exit code {ran.returncode}"
            raise Unmeasurable(f"{self._what(arguments)} failed: {last}\n{errors}")
        return ran.stdout.strip()

    def drain(self, count: int) -> Drained:
        """Start the worker, and return how fast it ran `count` waiting tasks.

        The clock runs from the moment when every process has run a task until the last outcome is
        stored.
        """
        with self._watcher(count) as watcher, self.working() as worker:
            self.wait_for(count, worker)
            settled = self._settled(watcher)
        records = self.records()
        self.check(records, count)
        firsts = {pid: at for _, at, pid in reversed(records)}
        if len(firsts) != self.contestant.processes:
            raise Unmeasurable(
                f"{len(firsts)} processes ran tasks, not {self.contestant.processes}."
            )
        began = max(firsts.values())
        after = sum(at > began for _, at, _ in records)
        return Drained(after / (settled - began) * 1e9, worker.peak_megabytes)

    def drain_head(self, count: int) -> float:
        """Start the worker, and return how fast it ran the first `count` waiting tasks.

        Only these have a number. The clock runs from the first of them to the last.
        """
        with self.working() as worker:
            self.wait_for(count, worker)
        records = [record for record in self.records() if record[0] >= 0]
        self.check(records, count)
        moments = [at for _, at, _ in records]
        return (count - 1) / (max(moments) - min(moments)) * 1e9

    def records(self) -> list[tuple[int, int, int]]:
        """Return the records of the tasks: number, moment, process."""
        held = self.ledger.read_bytes()
        return list(RECORD.iter_unpack(held[: len(held) // RECORD.size * RECORD.size]))

    def ran(self) -> int:
        """Return how many records there are."""
        return self.ledger.stat().st_size // RECORD.size

    def check(self, records: list[tuple[int, int, int]], count: int) -> None:
        """Raise Unmeasurable unless each of the tasks 0, 1 … ran once."""
        numbers = [number for number, _, _ in records]
        if sorted(numbers) != list(range(count)):
            missing = len(set(range(count)).difference(numbers))
            raise Unmeasurable(
                f"{self.contestant.peer} ran {len(numbers)} tasks of {count}: {missing} never, "
                f"{len(numbers) - len(set(numbers))} more than once."
            )

    @contextmanager
    def _watcher(self, count: int) -> "Iterator[subprocess.Popen[str]]":
        """Start a process that reports when the last outcome is stored."""
        watcher = subprocess.Popen(
            self._driver("settle", count),
            cwd=BENCHMARKS,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            if watcher.stdout.readline() != "ready\n":
                raise Unmeasurable(f"settle failed: {watcher.stderr.read()[-2000:]}")
            yield watcher
        finally:
            watcher.kill()
            watcher.wait()

    @contextmanager
    def working(self) -> Iterator["Worker"]:
        """Run the worker during the block."""
        command = [str(python_of(self.contestant.venv)), *self.contestant.worker]
        with self.log.open("wb") as log:
            started = Worker(
                subprocess.Popen(
                    command,
                    cwd=BENCHMARKS,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        try:
            yield started
        finally:
            started.stop(self.contestant.stop)

    def wait_for(self, count: int, worker: "Worker") -> None:
        """Wait until this many tasks have run. Raises Unmeasurable if the worker stalls."""
        seen, changed = -1, time.monotonic()
        while (ran := self.ran()) < count:
            if ran != seen:
                seen, changed = ran, time.monotonic()
            ended = worker.process.poll()
            if ended is not None or time.monotonic() - changed > STALL_SECONDS:
                why = f"ended with {ended}" if ended is not None else "stalled"
                raise Unmeasurable(
                    f"the worker of {self.contestant.peer} {why} after {ran} of {count} tasks:\n"
                    f"{self.log.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(POLL_SECONDS)

    def _settled(self, watcher: "subprocess.Popen[str]") -> int:
        """Return the monotonic time, in nanoseconds, at which no task was left."""
        try:
            output, errors = watcher.communicate("go\n", timeout=STEP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Unmeasurable(f"settle took over {STEP_SECONDS} s.") from None
        if watcher.returncode:
            raise Unmeasurable(f"{self.contestant.peer}: {errors.strip()[-2000:]}")
        return int(output)

    def _driver(self, *arguments: object) -> list[str]:
        python = str(python_of(self.contestant.venv))
        return [python, "-m", "peers.drive", self.contestant.peer, *map(str, arguments)]

    def _what(self, arguments: tuple[object, ...]) -> str:
        return " ".join([self.contestant.peer, *map(str, arguments)])


class Worker:
    """A worker in its own session, with all processes that it forked."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.peak_megabytes = 0.0

    def stop(self, number: signal.Signals) -> None:
        """End it as its documentation says, and kill the rest of its session after a while."""
        self.peak_megabytes = sum(map(_peak_megabytes, self._session()))
        if self.process.poll() is None:
            self.process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        for pid in self._session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def held_megabytes(self) -> float:
        """Return the memory of its session, counting pages that its processes share once."""
        return sum(map(_held_megabytes, self._session()))

    def _session(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(ProcessLookupError):
                if os.getsid(int(folder.name)) == self.process.pid:
                    found.append(int(folder.name))
        return found


def _peak_megabytes(pid: int) -> float:
    """Return the peak memory of a process, or 0 if it has ended."""
    return _megabytes(pid, "status", "VmHWM")


def _held_megabytes(pid: int) -> float:
    """Return a process's share of the memory that it uses, or 0 if it has ended."""
    return _megabytes(pid, "smaps_rollup", "Pss")


def _megabytes(pid: int, file: str, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(fields[name].split()[0]) / 1024
    except (OSError, KeyError):
        return 0.0
