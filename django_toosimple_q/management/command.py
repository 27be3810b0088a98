"""What the commands share: a help that ends with examples, and texts that are safe to print."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from django_toosimple_q.exceptions import NotMigrated, did_you_mean
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.transaction import refuse_unmigrated
from django_toosimple_q.task import Task
from django_toosimple_q.text import printable


class ExampleCommand(BaseCommand):
    """A command whose help ends with `examples`, as they are written."""

    examples = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, epilog=self.examples, **kwargs)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def line(self, text: str) -> None:
        """Write a line to standard output, with escapes for what a terminal would obey."""
        self.stdout.write(printable(text))

    def write_json(self, value: Any) -> None:
        """Write a value as JSON; datetimes and other values as their text."""
        self.stdout.write(json.dumps(value, indent=2, default=str))


@contextmanager
def naming_database_errors() -> Iterator[None]:
    """Turn an error of the queue's database into one that the command line prints as a sentence."""
    try:
        yield
    except DatabaseError as error:
        try:
            refuse_unmigrated(error)
        except NotMigrated as unmigrated:
            raise CommandError(str(unmigrated)) from error
        raise CommandError(f"the queue cannot be read: {error}") from error


def find_task(name: str) -> Task[Any, Any]:
    """Return a registered task. Raises `CommandError` with the name that was meant."""
    task = tasks_registry.get(name)
    if task is None:
        known = sorted(tasks_registry)
        listed = f"There are: {', '.join(known)}." if known else "No task is registered."
        raise CommandError(f"there is no task {name!r}. {did_you_mean(name, known, listed)}")
    return task


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a table, its columns under each other and two spaces apart."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
