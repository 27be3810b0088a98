"""Strike real workers at random while calls arrive, and account for every call.

examples:
  python benchmarks/chaos/run.py --database postgresql
  python benchmarks/chaos/run.py --database sqlite --seconds 30 --tasks 2000
  python benchmarks/chaos/run.py --signal STOP
  python benchmarks/chaos/run.py --schedules --workers 8 --every 2
  python benchmarks/chaos/run.py --seconds 21600 --tasks 1080000 --every 60 --spared 1

The run creates a database and destroys it at the end, on the server of PGHOST …, MYSQL_HOST ….
MariaDB needs its driver: python scripts/environment.py dev mysql. The exit code is 1 if an
invariant broke. docs/chaos.md explains what is counted.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))


def main() -> int:
    """Create a database, run the storm, and print its result."""
    options = parse()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["TOOSIMPLEQ_TEST_DATABASE"] = options.database
    import django

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        is_file = options.database == "sqlite"
        os.environ["TOOSIMPLEQ_TEST_DATABASE_NAME"] = (
            str(folder / "chaos.sqlite3") if is_file else f"chaos_toosimpleq_{os.getpid()}"
        )
        django.setup()
        return storm(options, folder)


def storm(options: argparse.Namespace, folder: Path) -> int:
    """Run the requested storm on an empty database, and return the exit code."""
    from django.db import connection

    from tests.chaos.storm import Plan, run_schedules, run_storm

    given = {field.name: getattr(options, field.name) for field in fields(Plan)}
    plan = Plan(**given)
    show = Progress(plan.seconds, plan.tasks)
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        account = run_schedules(plan, show) if options.schedules else run_storm(plan, folder, show)
    finally:
        connection.creation.destroy_test_db(verbosity=0, old_database_name="")
    show.end()
    print(f"{options.database}, {plan}\n{account}")
    print("BROKEN" if account.broken else "every invariant holds")
    return 1 if account.broken else 0


class Progress:
    """A progress bar on stderr."""

    WIDTH = 30

    def __init__(self, seconds: float, tasks: int) -> None:
        self.seconds = seconds
        self.tasks = tasks
        self.shown = 0.0

    def __call__(self, seconds: float, done: Callable[[], int], strikes: int) -> None:
        """Show the progress, or only every ten seconds if stderr is not a terminal."""
        every = 1.0 if sys.stderr.isatty() else 10.0
        if time.monotonic() - self.shown < every:
            return
        self.shown = time.monotonic()
        full = int(self.WIDTH * min(seconds / self.seconds, 1))
        bar = "#" * full + "-" * (self.WIDTH - full)
        line = (
            f"[{bar}] {seconds:.0f} of {self.seconds:g} s, {done()} tasks done, {strikes} strikes"
        )
        print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--database", choices=["sqlite", "postgresql", "mariadb"], default="postgresql")
    add("--seconds", type=float, default=60, help="how long to strike workers (60)")
    add("--tasks", type=int, default=10_000, help="calls to queue meanwhile (10000)")
    add("--workers", type=int, default=4, help="worker processes (4)")
    add("--signal", choices=["KILL", "TERM", "STOP"], default="KILL", help="signal to send (KILL)")
    add("--every", type=float, default=1, help="seconds between two strikes (1)")
    add("--timeout", type=float, default=4, help="the workers' --timeout (4)")
    add("--grace", type=float, default=0.5, help="the workers' --grace (0.5)")
    add("--patience", type=float, default=180, help="seconds that the last calls may take (180)")
    add("--exit_seconds", type=float, default=2, help="seconds for an exit after the grace (2)")
    add("--spared", type=int, default=0, help="workers that are never struck (0)")
    add("--seed", type=int, default=0, help="the seed of all randomness (0)")
    add("--schedules", action="store_true", help="race for a schedule by the second instead")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
