"""`manage.py worker`: options from the command line, nothing else."""

import argparse
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from django_toosimple_q import log
from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.worker import options as defaults
from django_toosimple_q.worker.autoreload import run_with_reloader, wants_reloader
from django_toosimple_q.worker.options import InvalidOption, WorkerOptions
from django_toosimple_q.worker.supervisor import Supervisor
from django_toosimple_q.worker.worker import Worker

LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG}

N = TypeVar("N", int, float)

EXAMPLES = """
examples:
  manage.py worker                            run every queue until stopped
  manage.py worker --queue mail --queue sms   run these two queues only
  manage.py worker --exclude_queue slow       run everything but this queue
  manage.py worker --until_done               drain what waits, then return
"""


class Command(BaseCommand):
    help = "Queue what is scheduled and run what is queued."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(
            prog_name,
            subcommand,
            epilog=EXAMPLES,
            **kwargs,
        )
        parser.formatter_class = Formatter
        return parser

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        queues = parser.add_mutually_exclusive_group()
        add(
            queues,
            "queue",
            action="extend",
            type=names,
            default=[],
            help="a queue to run, or several with commas (repeatable; default: all)",
        )
        add(
            queues,
            "exclude_queue",
            action="extend",
            type=names,
            default=[],
            help="a queue not to run, or several with commas (repeatable)",
        )
        add(
            parser,
            "tick",
            "interval",
            type=seconds,
            default=defaults.DEFAULT_TICK_SECONDS,
            metavar="SECONDS",
            help="look at the database this often when nothing tells of new work (%(default)s)",
        )
        ending = parser.add_mutually_exclusive_group()
        add(
            ending,
            "once",
            action="store_true",
            help="queue what is due, run at most one task, return",
        )
        add(
            ending,
            "until_done",
            "batch",
            action="store_true",
            help="run until nothing is queued or due, then return",
        )
        add(
            parser, "no_schedules", action="store_true", help="leave the schedules to other workers"
        )
        add(
            parser,
            "label",
            default=defaults.DEFAULT_LABEL,
            help="the worker's name; {pid} becomes the process id (%(default)s)",
        )
        add(
            parser,
            "timeout",
            type=seconds,
            default=defaults.DEFAULT_TIMEOUT_SECONDS,
            metavar="SECONDS",
            help="a worker not heard of for so long counts as dead, and its tasks run elsewhere "
            "(%(default)s); tasks may run longer, the worker is heard of all the same",
        )
        add(
            parser,
            "grace",
            type=seconds,
            default=defaults.DEFAULT_GRACE_SECONDS,
            metavar="SECONDS",
            help="what running tasks get on SIGTERM before they are cut off (%(default)s)",
        )
        add(
            parser,
            "processes",
            type=count,
            default=1,
            metavar="N",
            help="run so many processes under a supervisor (%(default)s)",
        )
        add(
            parser,
            "threads",
            type=count,
            default=1,
            metavar="N",
            help="run so many tasks at a time in each process (%(default)s)",
        )
        add(
            parser,
            "max_tasks",
            type=count,
            metavar="N",
            help="let a process end after so many tasks; the supervisor starts another",
        )
        add(
            parser,
            "max_memory",
            type=megabytes,
            metavar="MB",
            help="let a process end between two tasks once it holds more than so many megabytes",
        )
        add(
            parser,
            "reload",
            choices=["always", "never"],
            help="restart when code changes (default: when DEBUG is on)",
        )

    def handle(self, *args: Any, **given: Any) -> None:
        set_up_logging(given["verbosity"])
        try:
            options = WorkerOptions(
                queues=given["queue"],
                excluded_queues=given["exclude_queue"],
                tick=given["tick"],
                once=given["once"],
                until_done=given["until_done"],
                schedules=not given["no_schedules"],
                label=given["label"],
                timeout=given["timeout"],
                grace=given["grace"],
                processes=given["processes"],
                threads=given["threads"],
                max_tasks=given["max_tasks"],
                max_memory=given["max_memory"],
            )
            code = self.run(options, given["reload"])
        except ToosimpleQError as error:
            raise CommandError(str(error), returncode=99) from error
        if code:
            sys.exit(code)

    def run(self, options: WorkerOptions, reload: str | None) -> int:
        """Run one worker, several, or one that watches the code; return the exit code."""
        if options.processes > 1:
            if reload == "always":
                raise InvalidOption("--reload watches one process. Drop --processes.")
            return Supervisor(options).run()
        if wants_reloader(reload, settings.DEBUG) and not options.inline:
            return run_with_reloader(lambda: Worker(options))
        return Worker(options).run()


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


def names(text: str) -> list[str]:
    """Return the queues of one option."""
    return [name.strip() for name in text.split(",") if name.strip()]


def seconds(text: str) -> float:
    """Return the number of an option that is a time."""
    return _number(float, text, "Use a number of seconds, such as 2.5.")


def megabytes(text: str) -> float:
    """Return the number of an option that is an amount of memory."""
    return _number(float, text, "Use a number of megabytes, such as 300.")


def count(text: str) -> int:
    """Return the number of an option that counts."""
    return _number(int, text, "Use a whole number, such as 4.")


def _number(kind: Callable[[str], N], text: str, cure: str) -> N:
    try:
        return kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"cannot be {text!r}. {cure}") from error


def add(parser: Any, name: str, *others: str, **settings: Any) -> None:
    """Add an option under its name with underscores, the same with dashes, and other names."""
    flags = dict.fromkeys(
        f"--{spelling}" for one in (name, *others) for spelling in (one, one.replace("_", "-"))
    )
    parser.add_argument(*flags, dest=name, **settings)


def set_up_logging(verbosity: int) -> None:
    """Let -v 0…3 decide what is logged: errors, warnings, what happens, each start as well.

    A project that configures logging for "toosimpleq" keeps its handlers; else lines go to stderr.
    The loggers of Django's tasks framework follow where the project sets no level for them.
    """
    logger = logging.getLogger("toosimpleq")
    logger.setLevel(LEVELS[verbosity])
    log.connect()
    for framework in map(logging.getLogger, ("django.tasks", "django_tasks")):
        if framework.level == logging.NOTSET:
            framework.setLevel(LEVELS[verbosity])
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(message)s"))
        logger.addHandler(handler)
