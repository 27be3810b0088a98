"""`manage.py tasks`: lists what the code defines, and which calls have failed for good."""

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_toosimple_q.management.command import (
    ExampleCommand,
    aligned,
    find_task,
    naming_database_errors,
)
from django_toosimple_q.masking import signature_of
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import aware, current_moment
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store import task_execs
from django_toosimple_q.task import Task
from django_toosimple_q.task_options import TASK_OPTIONS
from django_toosimple_q.text import first_line

FAILURES_SHOWN = 20
# They have columns of their own.
SHOWN_BESIDE = {"name", "queue"}


class Command(ExampleCommand):
    help = "List the registered tasks with their schedules, or the calls that failed for good."
    examples = """
examples:
  manage.py tasks                       list the tasks and their schedules
  manage.py tasks send_mail             list this one
  manage.py tasks --json                the same for programs
  manage.py tasks --failed              list the last 20 calls that failed and were not replaced
  manage.py tasks --failed --limit 500 --json
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="task", help="only these tasks")
        parser.add_argument(
            "--failed",
            action="store_true",
            help="list calls that failed and were neither retried nor queued again, newest first",
        )
        parser.add_argument(
            "--limit",
            type=at_least_one,
            metavar="N",
            help=f"with --failed: how many calls to list ({FAILURES_SHOWN})",
        )
        parser.add_argument("--json", action="store_true", help="write JSON")

    def handle(self, *args: Any, **given: Any) -> None:
        if given["failed"]:
            # Of tasks, too, that the code has no more.
            limit = given["limit"] or FAILURES_SHOWN
            with naming_database_errors():
                failed = task_execs.failures(given["names"], limit)
            self.show_failures(failed, limit, as_json=given["json"])
            return
        if given["limit"]:
            raise CommandError("--limit needs --failed.")
        names = given["names"] or sorted(tasks_registry)
        tasks = [described(find_task(name), current_moment()) for name in names]
        if given["json"]:
            self.write_json(tasks)
        else:
            self.show(tasks)

    def show(self, tasks: Sequence[dict[str, Any]]) -> None:
        """Print a line for each task, with those of its schedules under it."""
        if not tasks:
            self.line("No task is registered. Define one in tasks.py of an installed app.")
        heads = aligned([task["name"], task["queue"], options_line(task)] for task in tasks)
        for head, task in zip(heads, tasks, strict=True):
            self.stdout.write(head)
            for schedule in task["schedules"]:
                self.line(f"    {schedule_line(schedule)}")

    def show_failures(self, rows: Sequence[TaskExec], limit: int, *, as_json: bool) -> None:
        """Print the calls that failed, newest first."""
        failed = [failure(row) for row in rows]
        if as_json:
            self.write_json(failed)
            return
        for line in aligned(
            [f"#{one['id']}", local(one["finished"]), one["task"], one["queue"], summary(one)]
            for one in failed
        ):
            self.stdout.write(line)
        if not failed:
            self.line("No call has failed for good.")
        elif len(failed) == limit:
            self.line(f"The last {limit} are listed. Use --limit for more.")


def described(task: Task[Any, Any], now: datetime) -> dict[str, Any]:
    """Return what a task is, as values that JSON has."""
    schedules = sorted(schedules_registry.values(), key=lambda schedule: schedule.name)
    return {
        "name": task.name,
        "queue": task.queue_name,
        "function": task.location,
        "signature": signature_of(task),
        "options": {
            option.name: plain(getattr(task, option.field))
            for option in TASK_OPTIONS.values()
            if option.name not in SHOWN_BESIDE and getattr(task, option.field) != option.default
        },
        "schedules": [planned(one, now) for one in schedules if one.task is task],
    }


def planned(schedule: Schedule, now: datetime) -> dict[str, Any]:
    """Return what a schedule is, as values that JSON has."""
    expression = schedule.expression
    upcoming = expression.next(aware(now))
    args, kwargs = schedule.shown_arguments(None)
    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "timezone": str(expression.timezone),
        "next": None if upcoming is None else upcoming.astimezone(expression.timezone).isoformat(),
        "args": [plain(value) for value in args],
        "kwargs": {name: plain(value) for name, value in kwargs.items() if name in schedule.kwargs},
    }


def failure(row: Any) -> dict[str, Any]:
    """Return a call that failed, as values that JSON has."""
    return {
        "id": row.pk,
        "task": row.task_name,
        "queue": row.queue,
        "attempt": row.attempt,
        "finished": None if row.finished is None else aware(row.finished).isoformat(),
        "error_type": row.error_type,
        "error": first_line(row.message_start or row.error_start or ""),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON has it, or else its code."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def options_line(task: dict[str, Any]) -> str:
    """Return the options of a task that differ from their defaults."""
    return ", ".join(f"{name}={value}" for name, value in task["options"].items())


def schedule_line(schedule: dict[str, Any]) -> str:
    """Return a schedule with its expression and its next occurrence."""
    when = schedule["next"]
    upcoming = "runs by hand only" if when is None else f"next {when}"
    return f"{schedule['name']}: {schedule['cron']} ({schedule['timezone']}), {upcoming}"


def summary(one: dict[str, Any]) -> str:
    """Return type and text of an error in a line."""
    kind = one["error_type"].removeprefix("builtins.")
    return f"{kind}: {one['error']}" if kind else one["error"]


def at_least_one(text: str) -> int:
    """Return a whole number above 0. Raises ArgumentTypeError for anything else."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of calls, 1 or more, got {text!r}")
    return number


def local(moment: str | None) -> str:
    """Return a moment to the second, in the current time zone."""
    if moment is None:
        return "-"
    return f"{timezone.localtime(datetime.fromisoformat(moment)):%Y-%m-%d %H:%M:%S}"
