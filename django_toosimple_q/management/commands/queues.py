"""`manage.py queues`: lists queues, checks them for a probe, pauses and resumes them."""

import argparse
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from django.core.management.base import CommandError

from django_toosimple_q import health, queues
from django_toosimple_q.exceptions import did_you_mean
from django_toosimple_q.health import Health, Kind
from django_toosimple_q.management import figures, terminal
from django_toosimple_q.management.command import ExampleCommand, aligned, naming_database_errors
from django_toosimple_q.store import overview
from django_toosimple_q.text import printable

WATCH_SECONDS = 2.0
# Of the most severe problem. 1 and 2 are those of any command that cannot do its work.
EXIT_CODES = {Kind.NO_WORKER: 3, Kind.UNATTENDED: 3, Kind.LATE: 4, Kind.FAILURES: 5}


class Command(ExampleCommand):
    help = "List queues and check them for a probe; pause and resume them."
    examples = """
examples:
  manage.py queues                  list the queues, what is due later or held, and what runs
  manage.py queues list mail        list this queue
  manage.py queues --watch          show them until Ctrl-C
  manage.py queues --json           the same for programs
  manage.py queues --check --max-wait 300 --max-failures 10
                                    say what is wrong, and exit by it
  manage.py queues pause mail       start no more calls of the queue "mail"
  manage.py queues resume mail      start them again

exit codes of --check:
  0  nothing is wrong
  3  no worker is alive, or calls wait in a queue that no living worker takes
  4  the oldest call of a queue has waited for longer than --max-wait
  5  more calls than --max-failures failed for good within the last hour
  1  the queues could not be read
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=("list", "pause", "resume"))
        parser.add_argument("names", nargs="*", metavar="queue", help="the queues to act on")
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            "--watch",
            type=at_least(0.1, float, "seconds"),
            nargs="?",
            const=WATCH_SECONDS,
            metavar="SECONDS",
            help=f"show them again every so many seconds, until Ctrl-C ({WATCH_SECONDS:g})",
        )
        how.add_argument(
            "--check", action="store_true", help="say only what is wrong, and exit by it"
        )
        parser.add_argument("--json", action="store_true", help="write JSON")
        parser.add_argument(
            "--max-wait",
            type=at_least(0, float, "seconds"),
            metavar="SECONDS",
            help="with --check: how long the oldest call of a queue may have waited",
        )
        parser.add_argument(
            "--max-failures",
            type=at_least(0, int, "calls"),
            metavar="N",
            help="with --check: how many calls may have failed for good within the last hour",
        )

    def handle(self, *args: Any, **given: Any) -> None:
        with naming_database_errors():
            self.work(given)

    def work(self, given: dict[str, Any]) -> None:
        """Do what the options say."""
        if given["action"] in ("pause", "resume"):
            self.act_on_all(given["action"], given["names"])
            return
        if given["check"]:
            self.check_health(given)
            return
        if given["max_wait"] is not None or given["max_failures"] is not None:
            raise CommandError("--max-wait and --max-failures need --check.")
        if given["watch"] is None:
            self.show(given)
            return
        try:
            self.watch(given)
        except KeyboardInterrupt:
            self.stdout.write("")

    def read(self, names: Collection[str]) -> Health:
        """Return how the queues stand, of these names if there are any."""
        found = health.read()
        known = [queue.name for queue in found.queues]
        for name in names:
            self.refuse_unknown(name, known)
        chosen = [queue for queue in found.queues if not names or queue.name in names]
        return replace(found, queues=chosen)

    def check_health(self, given: dict[str, Any]) -> None:
        """Print what is wrong, and exit by the most severe problem."""
        found = self.read(given["names"])
        problems = found.problems(given["max_wait"], given["max_failures"])
        if given["json"]:
            self.write_json(figures.described(found, problems))
        for problem in () if given["json"] else problems:
            self.stderr.write(printable(f"{problem.fact} {problem.cure}"))
        if not problems and not given["json"]:
            self.line("All is well.")
        if problems:
            sys.exit(EXIT_CODES[problems[0].kind])

    def show(self, given: dict[str, Any]) -> None:
        """Print how the queues stand."""
        found = self.read(given["names"])
        if given["json"]:
            self.write_json(figures.described(found, found.problems()))
            return
        for text, is_wrong in lines(found, totals=not given["names"]):
            self.stdout.write(self.style.ERROR(text) if is_wrong else text)

    def watch(self, given: dict[str, Any]) -> None:
        """Show the queues again and again: in place where rich can, else one below the other."""
        if given["json"] or not terminal.can_draw(self.stdout):
            while True:
                self.show(given)
                self.stdout.flush()
                time.sleep(given["watch"])
        with terminal.screen() as draw:
            while True:
                draw(list(lines(self.read(given["names"]), totals=not given["names"])))
                time.sleep(given["watch"])

    def act_on_all(self, action: str, names: Collection[str]) -> None:
        """Pause or resume these queues, once all of them are known to exist."""
        known = [queue.name for queue in health.read().queues]
        if not names:
            raise CommandError(
                f"{action} needs the name of a queue. Use one or more of: {', '.join(known)}."
            )
        for name in names:
            self.refuse_unknown(name, known)
        for name in names:
            self.act(action, name)

    def refuse_unknown(self, name: str, known: Collection[str]) -> None:
        """Raise `CommandError` for a queue that no task, no worker and no call names."""
        if name not in known:
            cure = did_you_mean(name, known, f"There are: {', '.join(known)}.")
            raise CommandError(f"there is no queue {name!r}. {cure}")

    def act(self, action: str, name: str) -> None:
        """Pause or resume one queue and print the result."""
        if action == "pause":
            done = queues.pause(name)
            self.line(f"{name} is paused." if done else f"{name} was already paused.")
        else:
            done = queues.resume(name)
            self.line(f"{name} is no longer paused." if done else f"{name} was not paused.")


def lines(found: Health, *, totals: bool) -> Iterator[tuple[str, bool]]:
    """Yield the lines for people, and whether each says that something is wrong.

    totals: tell what is due later and what is held, which is counted over all queues.
    """
    rows = [figures.queue_row(found, queue) for queue in found.queues]
    for queue, line in zip(found.queues, aligned(rows), strict=True):
        yield line, queue.unattended
    for line in figures.totals(found) if totals else ():
        yield line, False
    running = overview.running(figures.RUNNING_SHOWN)
    if running:
        yield "", False
    for line in aligned(figures.running_row(found, row) for row in running):
        yield line, False
    problems = found.problems()
    if problems:
        yield "", False
    for problem in problems:
        yield printable(f"{problem.fact} {problem.cure}"), True


def at_least(lowest: float, kind: Callable[[str], float], unit: str) -> Callable[[str], float]:
    """Return what reads a number of an option. It raises ArgumentTypeError below the lowest."""

    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = float("nan")
        if not lowest <= number < float("inf"):
            raise argparse.ArgumentTypeError(
                f"expected a number of {unit}, {lowest:g} or more, got {text!r}"
            )
        return number

    return read
