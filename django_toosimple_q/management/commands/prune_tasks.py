"""`manage.py prune_tasks`: reads the command line only. The work is done in `store.prune`."""

import argparse
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from django_toosimple_q import conf
from django_toosimple_q.management.command import ExampleCommand
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs, workers


class Command(ExampleCommand):
    help = "Delete rows of tasks that ended long ago."
    examples = """
examples:
  manage.py prune_tasks --dry-run             count the rows that TOOSIMPLEQ_RETENTION would delete
  manage.py prune_tasks                       delete them
  manage.py prune_tasks --min-age-days 14     delete SUCCEEDED rows older than 14 days
  manage.py prune_tasks --failed-min-age-days 90 --queue mail
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--min-age-days",
            type=days,
            metavar="DAYS",
            help="delete SUCCEEDED rows that ended this long ago (default: TOOSIMPLEQ_RETENTION)",
        )
        parser.add_argument(
            "--failed-min-age-days",
            type=days,
            metavar="DAYS",
            help="delete FAILED, INTERRUPTED and INVALID rows that ended this long ago",
        )
        parser.add_argument("--queue", "--queue-name", dest="queue", help="only rows of this queue")
        parser.add_argument(
            "--dry-run", action="store_true", help="report how many rows would be deleted"
        )

    def handle(self, *args: Any, **given: Any) -> None:
        retention = self.retention(given["min_age_days"], given["failed_min_age_days"])
        if not any(kept is not None for kept in retention.values()):
            raise CommandError(
                "TOOSIMPLEQ_RETENTION deletes nothing. Set it, or use --min-age-days."
            )
        conditions = task_execs.expired(retention, workers.clock(), given["queue"])
        total = task_execs.count_expired(conditions)
        if given["dry_run"]:
            self.stdout.write(f"{total} rows would be deleted.")
            return
        deleted = 0
        while count := task_execs.prune(conditions):
            deleted += count
            self.progress(deleted, max(total, deleted))
        self.stdout.write(f"{deleted} rows deleted.")

    def retention(
        self, succeeded: timedelta | None, failed: timedelta | None
    ) -> dict[str, timedelta | None]:
        """Return how long each state is kept, from the options or else from the setting."""
        if succeeded is None and failed is None:
            return dict(conf.get("TOOSIMPLEQ_RETENTION"))
        states = TaskExec.States
        unsuccessful = (states.FAILED, states.INTERRUPTED, states.INVALID)
        return {
            states.SUCCEEDED.value: succeeded,
            **{state.value: failed for state in unsuccessful},
        }

    def progress(self, done: int, total: int) -> None:
        """Draw a progress bar on a terminal."""
        if not self.stderr.isatty():
            return
        filled = 40 * done // total
        bar = "█" * filled + "░" * (40 - filled)
        self.stderr.write(f"\r{bar} {done}/{total}", ending="" if done < total else "\n")


def days(text: str) -> timedelta:
    """Return a number of days as a duration. Raises ArgumentTypeError below 0."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected a number of days, 0 or more, got {text!r}")
    return timedelta(days=number)
