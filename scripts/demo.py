"""Set the demo up, start its site and a worker, and stop both on Ctrl-C."""

from __future__ import annotations  # an old Python must get as far as our message

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
# The worker finishes what it runs; what takes longer than this is cut off and replaced.
PATIENCE_SECONDS = 20
LOOK_SECONDS = 0.2


class Service:
    """One process of the demo, whose output appears line by line behind its name."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        # A group of its own: Ctrl-C comes to this script alone, which then stops each just once.
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
        """Do as a terminal does on Ctrl-C: reach the process and those it started for reloading."""
        self._signal_group(signal.SIGINT)

    def cut_off(self) -> None:
        """Stop without waiting for what runs; a worker replaces it."""
        if self.exit_code is None:
            self.process.terminate()

    def kill(self) -> None:
        """End whatever is left of the group, so that nothing keeps a port or the database."""
        self._signal_group(signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def _signal_group(self, number: signal.Signals) -> None:
        # macOS answers "not permitted" where all that is left of a group is a zombie.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _forward(self, output: IO[str]) -> None:
        for line in output:
            print(f"{self.name:<7}| {line}", end="", flush=True)


class Demo:
    """Site and worker, running until a signal comes or one of them ends."""

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
        """Wait for the end, stop what is left, and return the exit code of the script."""
        while not self.signals and not self._ended():
            time.sleep(LOOK_SECONDS)
        ended = [] if self.signals else self._ended()
        for service in ended:
            print(f"The {service.name} ended by itself with exit code {service.exit_code}.")
        self._stop()
        return 1 if ended else 0

    def _ended(self) -> list[Service]:
        return [service for service in self.services if service.exit_code is not None]

    def _stop(self) -> None:
        print("\nStopping; press Ctrl-C again not to wait for tasks that run.", flush=True)
        for service in self.services:
            service.ask_to_stop()
        if not self._all_ended(time.monotonic() + PATIENCE_SECONDS, hurried=self.signals + 1):
            for service in self.services:
                service.cut_off()
            self._all_ended(time.monotonic() + PATIENCE_SECONDS)
        for service in self.services:
            service.kill()
        print("Stopped. `make demo` starts again where this ended.", flush=True)

    def _all_ended(self, until: float, hurried: int | None = None) -> bool:
        """Wait for every process, until a time or until that many signals came."""
        while len(self._ended()) < len(self.services):
            if time.monotonic() > until or self.signals == hurried:
                return False
            time.sleep(LOOK_SECONDS)
        return True


def free_port() -> int:
    """Return the first port from 8000 on that nothing listens on."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        with socket.socket() as probe:
            # As runserver does, or a port just left by it would look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EnvironmentProblem(f"no port from {FIRST_PORT} to {LAST_PORT} is free. Close one.")


def main() -> int:
    # A shell starts what runs in the background with SIGINT ignored.
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
        print("demo_setup failed; what it printed above says why.", file=sys.stderr)
        return failed.returncode
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(
        f"\nThe shop:   http://127.0.0.1:{port}/\n"
        f"The admin:  http://127.0.0.1:{port}/admin/   (log in as admin, password admin)\n"
        "Ctrl-C stops site and worker.\n",
        flush=True,
    )
    return Demo(python, port).run()


if __name__ == "__main__":
    sys.exit(main())
