"""`manage.py enqueue`: queues a call, and can wait for its end and print what came of it."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils.dateparse import parse_datetime

from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.management.command import ExampleCommand, find_task
from django_toosimple_q.masking import MASK
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import current_moment
from django_toosimple_q.store import lookup, task_execs
from django_toosimple_q.task import Task
from django_toosimple_q.text import printable

States = TaskExec.States

# 1 and 2 are those of any command: nothing was queued.
EXIT_CODES = {
    States.SUCCEEDED.value: 0,
    States.FAILED.value: 3,
    States.INTERRUPTED.value: 4,
    States.INVALID.value: 5,
}
# As timeout(1) has it.
NOT_ENDED = 124
# As a shell has it for Ctrl-C.
CUT_SHORT = 130
DELAY = re.compile(r"\+(\d{1,10})([smhd]?)")
UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
JSON_KINDS: dict[type[Any], str] = {
    list: """list such as '[1, "a"]'""",
    dict: """object such as '{"n": 1}'""",
}
DUE_CURE = 'Use "2026-12-24 18:00", or "+90", "+90s", "+15m", "+2h", "+1d" from now.'


class Command(ExampleCommand):
    help = "Queue a call of a task. With --wait, wait for its end and print what came of it."
    examples = """
examples:
  manage.py enqueue cleanup
  manage.py enqueue greet --args '["Ann"]' --kwargs '{"loud": true}'
  manage.py enqueue report --due '2026-12-24 18:00' --queue slow --priority 5
  manage.py enqueue report --due +15m
  manage.py enqueue cleanup --wait 60 && echo "it is clean"

exit codes:
  0    the call is queued; with --wait: it SUCCEEDED
  1    nothing was queued, for the reason that is printed; 2: the options cannot be read
  3    with --wait: it FAILED           4: it is INTERRUPTED       5: it is INVALID
  124  with --wait: it has not ended within the time
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the name of the task, as `manage.py tasks` lists it")
        parser.add_argument(
            # Django keeps the name "args" to itself.
            "--args",
            dest="positional",
            default=[],
            metavar="JSON",
            help="positional arguments",
        )
        parser.add_argument("--kwargs", default={}, metavar="JSON", help="keyword arguments")
        parser.add_argument("--due", metavar="WHEN", help=f"when it is to start. {DUE_CURE}")
        parser.add_argument("--queue", help="the queue (default: the task's)")
        parser.add_argument(
            "--priority", type=int, metavar="N", help="larger numbers run first (the task's)"
        )
        parser.add_argument(
            "--wait",
            type=seconds,
            nargs="?",
            const=float("inf"),
            metavar="SECONDS",
            help="wait for the end, for at most so many seconds (default: for ever)",
        )
        parser.add_argument("--json", action="store_true", help="write JSON")

    def handle(self, *args: Any, **given: Any) -> None:
        task = find_task(given["name"])
        # Read here, so that a relative one counts from now.
        due = read_due(given["due"], current_moment())
        row = self.enqueue(task, given, due)
        if given["wait"] is None:
            self.show(row, as_json=given["json"])
            return
        done = self.wait(row, given["wait"])
        self.show(done, as_json=given["json"])
        if EXIT_CODES[done.state]:
            sys.exit(EXIT_CODES[done.state])

    def enqueue(
        self, task: Task[Any, Any], given: Mapping[str, Any], due: datetime | None
    ) -> TaskExec:
        """Queue the call as the options say. Raises `CommandError` where they cannot be right."""
        try:
            chosen = task.using(priority=given["priority"], queue=given["queue"], due=due)
            args = read_json(given["positional"], list, "--args", task)
            kwargs = read_json(given["kwargs"], dict, "--kwargs", task)
            # Not by queue(), which takes a keyword argument "due" for itself.
            return task_execs.enqueue(chosen, args, kwargs)
        except ToosimpleQError as error:
            raise CommandError(printable(str(error))) from error

    def wait(self, row: TaskExec, seconds: float) -> TaskExec:
        """Return the last attempt once it has ended; end with NOT_ENDED after so many seconds."""
        try:
            done = row.wait_done(None if seconds == float("inf") else seconds)
        except KeyboardInterrupt:
            self.stderr.write(f"\n#{row.pk} has not ended. It goes on without this command.")
            sys.exit(CUT_SHORT)
        except ToosimpleQError as error:
            raise CommandError(str(error)) from error
        if done is None:
            found = lookup.find(row.pk)
            waits = found is not None and found.state in (States.SLEEPING, States.QUEUED)
            more = "No worker has taken it: see `manage.py queues`." if waits else "It goes on."
            self.stderr.write(f"#{row.pk} has not ended after {seconds:g} s. {more}")
            sys.exit(NOT_ENDED)
        return done

    def show(self, row: TaskExec, *, as_json: bool) -> None:
        """Print a call: its state, and once it has ended its output and its result or error."""
        if as_json:
            self.write_json(described(row))
            return
        for stream, text in ((self.stdout, row.stdout), (self.stderr, row.stderr)):
            if text:
                stream.write(printable(text, lines=True), ending="" if text[-1] == "\n" else None)
        if row.state == States.SUCCEEDED:
            self.line(repr(row.result))
        elif row.error:
            self.stderr.write(printable(row.error, lines=True))
        self.stderr.write(f"#{row.pk} {row.state}")


def described(row: TaskExec) -> dict[str, Any]:
    """Return a call as values that JSON has; a result of another kind as its code."""
    result: Any = row.result
    return {
        "id": row.pk,
        "task": row.task_name,
        "state": row.state,
        "attempt": row.attempt,
        "result": result if is_json(result) else repr(result),
        "error_type": row.error_type,
        "error": row.error,
        "stdout": row.stdout,
        "stderr": row.stderr,
    }


def is_json(value: Any) -> bool:
    """Return whether a value can be written as JSON."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def read_due(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that --due names. Raises `CommandError`."""
    if text is None:
        return None
    if delay := DELAY.fullmatch(text):
        amount, unit = delay.groups()
        try:
            return now + timedelta(**{UNITS[unit]: int(amount)})
        except OverflowError as error:
            raise CommandError(f"--due cannot be {text!r}. Use a moment before 9998.") from error
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"--due cannot be {text!r}. {DUE_CURE}")
    return moment


def read_json(given: Any, kind: type[Any], option: str, task: Task[Any, Any]) -> Any:
    """Return the JSON value of an option, of the kind that it is to be. Raises `CommandError`.

    Values that are not text come from `call_command()`.
    """
    quoted = repr(MASK) if task.sensitive else given
    try:
        value = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError) as error:
        raise refused(option, f"{quoted!r} is not JSON: {error}") from None
    if not isinstance(value, kind):
        raise refused(option, f"expected a JSON {JSON_KINDS[kind]}, got {quoted}")
    return value


def refused(option: str, reason: str) -> CommandError:
    """Return the error that ends the command as one of its parser does."""
    return CommandError(f"argument {option}: {printable(reason)}", returncode=2)


def seconds(text: str) -> float:
    """Return a number of seconds. Raises ArgumentTypeError below 0."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or more, got {text!r}")
    return number
