"""`manage.py queues`: options from the command line, nothing else."""

import argparse
from difflib import get_close_matches
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from django_toosimple_q import queues
from django_toosimple_q.models import QueueStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import queues as store

EXAMPLES = """
examples:
  manage.py queues                  list the queues, what waits and what runs
  manage.py queues pause mail       start nothing more of the queue "mail"
  manage.py queues resume mail      go on
"""


class Command(BaseCommand):
    help = "List queues, pause them, and let them go on."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, epilog=EXAMPLES, **kwargs)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=("list", "pause", "resume"))
        parser.add_argument("names", nargs="*", metavar="queue", help="the queues to act on")

    def handle(self, *args: Any, **given: Any) -> None:
        action, names = given["action"] or "list", given["names"]
        known = {row.name: row for row in store.every()}
        for task in tasks_registry.values():
            known.setdefault(task.queue_name, QueueStatus(name=task.queue_name))
        if action == "list":
            self.show([known[name] for name in sorted(known)])
            return
        if not names:
            raise CommandError(f"{action} what? Name one queue or more: {', '.join(known)}.")
        for name in names:
            self.refuse_unknown(name, list(known))
        for name in names:
            self.act(action, name)

    def show(self, rows: list[QueueStatus]) -> None:
        """Print one line for each queue."""
        width = max((len(row.name) for row in rows), default=0)
        for row in rows:
            waiting, running = store.waiting(row.name), store.running(row.name)
            more = "+" if waiting == store.WAITING_COUNTED else ""
            state = "active"
            if row.paused is not None:
                since = timezone.localtime(row.paused) if row.paused.tzinfo else row.paused
                state = f"paused since {since:%Y-%m-%d %H:%M:%S}"
            self.stdout.write(
                f"{row.name:{width}}  {waiting}{more} waiting, {running} running, {state}"
            )

    def refuse_unknown(self, name: str, known: list[str]) -> None:
        """Refuse a name that no task, no worker and no row has."""
        if name not in known and not store.waiting(name):
            close = get_close_matches(name, known, n=1)
            cure = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
            raise CommandError(f"there is no queue {name!r}. {cure}")

    def act(self, action: str, name: str) -> None:
        """Pause or resume one queue and say what came of it."""
        if action == "pause":
            done = queues.pause(name)
            self.stdout.write(f"{name} is paused." if done else f"{name} was paused already.")
        else:
            done = queues.resume(name)
            self.stdout.write(f"{name} goes on." if done else f"{name} was not paused.")
