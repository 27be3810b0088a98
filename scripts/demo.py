"""Set up the demo, start its site and a worker, and stop both on Ctrl-C."""

from __future__ import annotations  # so that an old Python reaches our error message

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import IO

from environment import ROOT, EnvironmentProblem, ensure

MANAGE = ROOT / "demo" / "manage.py"
FIRST_PORT, LAST_PORT = 8000, 8099
# The worker finishes running tasks. Those that take longer than this are interrupted and replaced.
PATIENCE_SECONDS = 20
LOOK_SECONDS = 0.2


class Service:
    """One process of the demo. Its output appears line by line after its name."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        # In its own process group, so that Ctrl-C reaches only this script, which stops each once.
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "DJANGO_RUNSERVER_HIDE_WARNING": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._forward, args=(self.process.stdout,))
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()

    def ask_to_stop(self) -> None:
        """Send SIGINT to the process and its reloader children, as a terminal does on Ctrl-C."""
        self._signal_group(signal.SIGINT)

    def cut_off(self) -> None:
        """Stop without waiting for running tasks. The worker interrupts and replaces them."""
        if self.exit_code is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill the rest of the group, so that no process keeps a port or the database."""
        self._signal_group(signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def _signal_group(self, number: signal.Signals) -> None:
        # macOS answers "not permitted" if only a zombie is left of a group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _forward(self, output: IO[str]) -> None:
        for line in output:
            print(f"{self.name:<7}| {line}", end="", flush=True)


class Demo:
    """The site and the worker, which run until a signal comes or one of them ends."""

    def __init__(self, python: Path, port: int) -> None:
        self.signals = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        manage = [str(python), str(MANAGE)]
        self.services = [
            Service("site", [*manage, "runserver", str(port)]),
            Service("worker", [*manage, "worker", "--verbosity=2"]),
        ]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1

    def run(self) -> int:
        """Wait for the end, stop the other process, and return the exit code of the script."""
        while not self.signals and not self._ended():
            time.sleep(LOOK_SECONDS)
        ended = [] if self.signals else self._ended()
        for service in ended:
            print(f"The {service.name} ended with exit code {service.exit_code}.")
        self._stop()
        return 1 if ended else 0

    def _ended(self) -> list[Service]:
        return [service for service in self.services if service.exit_code is not None]

    def _stop(self) -> None:
        print("\nStopping. Press Ctrl-C again to interrupt running tasks.", flush=True)
        for service in self.services:
            service.ask_to_stop()
        if not self._all_ended(time.monotonic() + PATIENCE_SECONDS, hurried=self.signals + 1):
            for service in self.services:
                service.cut_off()
            self._all_ended(time.monotonic() + PATIENCE_SECONDS)
        for service in self.services:
            service.kill()
        print("Stopped. Run `make demo` to continue.", flush=True)

    def _all_ended(self, until: float, hurried: int | None = None) -> bool:
        """Wait until all processes have ended, until a time, or until that many signals came."""
        while len(self._ended()) < len(self.services):
            if time.monotonic() > until or self.signals == hurried:
                return False
            time.sleep(LOOK_SECONDS)
        return True


def free_port() -> int:
    """Return the first free port from 8000 on."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        with socket.socket() as probe:
            # runserver also sets this. Without it, a port that it just left would seem taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EnvironmentProblem(f"no port from {FIRST_PORT} to {LAST_PORT} is free. Close one.")


def main() -> int:
    # A shell starts background processes with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        python = ensure()
        port = free_port()
        subprocess.run([python, MANAGE, "demo_setup"], cwd=ROOT, check=True)
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failed:
        print("demo_setup failed. See its output above.", file=sys.stderr)
        return failed.returncode
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(
        f"\nThe shop:     http://127.0.0.1:{port}/\n"
        f"The admin:    http://127.0.0.1:{port}/admin/   (log in as admin, password admin)\n"
        f"At one look:  http://127.0.0.1:{port}/admin/toosimpleq/\n"
        "Ctrl-C stops the site and the worker.\n",
        flush=True,
    )
    return Demo(python, port).run()


if __name__ == "__main__":
    sys.exit(main())
