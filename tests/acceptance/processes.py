"""Start real workers, and stop them in every way there is."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from django.db import connection
from django.test import TransactionTestCase

from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.worker.registration import process_exists
from tests.support import wait_for

ROOT = Path(__file__).parent.parent.parent


def environment() -> dict[str, str]:
    """Return the environment in which a process finds the database of this run."""
    return {
        **os.environ,
        "TOOSIMPLEQ_TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "PYTHONPATH": str(ROOT),
    }


def call_in_process(call: str) -> "subprocess.Popen[bytes]":
    """Start a process that makes one call of `callers`."""
    code = f"import django; django.setup(); from tests.acceptance.callers import *; {call}"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment())


class WorkerProcess:
    """A `manage.py worker` of its own."""

    def __init__(
        self,
        *options: str,
        verbosity: int = 2,
        module: str = "django",
        prefix: Sequence[str] = (),
    ) -> None:
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed by `end`)
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", module, "worker", f"-v{verbosity}", *options],
            cwd=ROOT,
            env=environment(),
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def has_pending_signals(self) -> bool:
        """Return whether a signal that was sent has not arrived yet."""
        lines = map(str.split, Path(f"/proc/{self.pid}/status").read_text().splitlines())
        masks = (line[1] for line in lines if line[0] in ("SigPnd:", "ShdPnd:"))
        return any(int(mask, 16) for mask in masks)

    def wait(self, timeout: float = 20) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(timeout)

    def log(self) -> str:
        self.output.seek(0)
        return self.output.read()

    def end(self) -> None:
        if self.process.poll() is None:
            # Its children would only stop after their grace, and keep their connections till then.
            children = children_of(self.pid)
            for pid in (self.pid, *children):
                # One of them may have ended by itself meanwhile.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(10)
            wait_for(lambda: not any(map(process_exists, children)))
        self.output.close()


class ProcessTests(TransactionTestCase):
    """Tests with real workers on the database of the run."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.ledger = str(Path(self.folder.name) / "ledger")

    def worker(self, *options: str, online: bool = True, **settings) -> WorkerProcess:
        """Start a worker, by default with a short tick and timeout, and wait until it is online."""
        before = set(WorkerStatus.objects.values_list("incarnation", flat=True)) if online else None
        worker = WorkerProcess("--tick=0.1", "--timeout=4", *options, **settings)
        self.addCleanup(worker.end)
        if online:
            wait_for(lambda: self.entered(worker, before))
        return worker

    def entered(self, worker, before):
        if worker.process.poll() is not None:
            raise AssertionError(
                f"the worker ended with {worker.process.returncode}:\n{worker.log()}"
            )
        rows = WorkerStatus.objects.exclude(incarnation__in=before)
        return rows.filter(pid=worker.pid).first()

    def queue_limited(self, task, *args, timeout, **settings):
        """Queue a call with a limit of its own."""
        return replace(task.task, timeout=timeout, **settings).queue(*args)

    def lines(self) -> list[str]:
        """Return what the tasks wrote into the ledger."""
        path = Path(self.ledger)
        return path.read_text().splitlines() if path.exists() else []

    def forget_lines(self) -> None:
        Path(self.ledger).unlink()

    def wait_for_state(self, row, *states: str, timeout: float = 20):
        return wait_for(
            lambda: TaskExec.objects.filter(pk=row.pk, state__in=states).first(), timeout=timeout
        )

    def wait_until_drained(self, timeout: float = 30) -> None:
        wait_for(
            lambda: not TaskExec.objects.filter(state__in=TaskExec.States.todo()).exists(),
            timeout=timeout,
        )

    def last_of(self, row):
        """Return the last attempt of a chain."""
        row = TaskExec.objects.get(pk=row.pk)
        while row.replaced_by_id:
            row = row.replaced_by
        return row


def children_of(parent: int) -> list[int]:
    """Return the ids of a process's children."""
    command = ["ps", "-A", "-o", "pid=,ppid="]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = (map(int, line.split()) for line in table.splitlines())
    return [pid for pid, ppid in pairs if ppid == parent]


def since(moment: float) -> float:
    return time.monotonic() - moment
