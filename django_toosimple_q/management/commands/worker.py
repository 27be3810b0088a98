"""`manage.py worker`: options from the command line, nothing else."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError

from django_toosimple_q import log, signals
from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.log.write import write
from django_toosimple_q.management import drain, terminal
from django_toosimple_q.management.command import ExampleCommand
from django_toosimple_q.text import named, printable
from django_toosimple_q.worker import options
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.processes.autoreload import run_with_reloader, wants_reloader
from django_toosimple_q.worker.processes.first import continue_in_child, is_first
from django_toosimple_q.worker.processes.leftovers import end_after
from django_toosimple_q.worker.processes.supervisor import Supervisor
from django_toosimple_q.worker.worker import Worker

LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO, 3: logging.DEBUG}
DEFAULT_VERBOSITY = 1
FRAMEWORKS = ("django.tasks", "django_tasks")


class Command(ExampleCommand):
    help = "Queue what is scheduled and run what is queued."
    examples = """
examples:
  manage.py worker                            run every queue until stopped
  manage.py worker --queue mail --queue sms   run these two queues only
  manage.py worker --exclude_queue slow       run everything but this queue
  manage.py worker --until_done               drain what waits, then return
"""
    # Whether the line at the start goes to standard output: not where the log has it.
    starts_shown = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        options.add_arguments(parser)

    def check(self, *args: Any, **given: Any) -> None:
        """Check the project as every command does, but start without an answer of the database.

        On MariaDB and MySQL Django's own checks ask it for its version. The worker waits for it.
        """
        try:
            super().check(*args, **given)
        except OperationalError as error:
            line = "the system checks stopped, the database does not answer: error=%s"
            write(logging.WARNING, line, named(error), error=named(error))

    def handle(self, *args: Any, **given: Any) -> None:
        with naming_errors():
            chosen = options.from_arguments(given)
        # Around the logging, so that its lines stand above the bar.
        with self.bar(chosen, given["verbosity"]):
            code = self.work(chosen, given)
        if code:
            sys.exit(code)

    def bar(self, chosen: WorkerOptions, verbosity: int) -> AbstractContextManager[None]:
        """Draw how far the worker is, where it drains and standard error is a terminal."""
        draws = chosen.until_done and verbosity and terminal.can_draw(sys.stderr)
        return drain.shown(chosen.takes) if draws else nullcontext()

    def work(self, chosen: WorkerOptions, given: dict[str, Any]) -> int:
        """Log as the options say, and run; return the worker's exit code."""
        verbosity = given["verbosity"]
        if self.owns_process and is_first() and given["processes"] == 1:
            # A supervisor reaps by itself.
            continue_in_child()
        with ExitStack() as stack:
            stack.callback(set_up_logging(verbosity, given.get("stderr")))
            if verbosity and not shows_info():
                stack.callback(self.show_starts())
            with naming_errors():
                code = self.run(chosen)
            # After a KeyboardInterrupt that left an exec(), though it was caught, CPython would
            # exit as on SIGINT. Any other exec() makes it forget that.
            exec("")
            if self.owns_process and not chosen.inline:
                end_after(chosen.grace, code)
            if self.owns_process:
                # Nothing is put back: the last lines are logged as those before.
                stack.pop_all()
        return code

    def run(self, given: WorkerOptions) -> int:
        """Run one worker, several, or one that watches the code; return the exit code."""
        if given.processes > 1:
            self.show_start(given.label, given)
            return Supervisor(given).run()
        if wants_reloader(given.reload, settings.DEBUG) and not given.inline:
            return run_with_reloader(lambda: Worker(given))
        return Worker(given, owns_process=self.owns_process).run()

    @property
    def owns_process(self) -> bool:
        """Return whether the process runs this command alone: no other code has called it."""
        return bool(getattr(self, "_called_from_command_line", False))

    def show_starts(self) -> Callable[[], None]:
        """Write to standard output that a worker starts, and what it waits for when it stops.

        Returns what ends that.
        """
        receivers = (
            (signals.worker_started, self.on_worker_started),
            (signals.worker_stopping, self.on_worker_stopping),
        )
        self.starts_shown = True
        for signal, receiver in receivers:
            signal.connect(receiver)

        def undo() -> None:
            for signal, receiver in receivers:
                signal.disconnect(receiver)

        return undo

    def on_worker_started(self, sender: str, options: WorkerOptions, **kwargs: Any) -> None:
        self.show_start(sender, options)

    def on_worker_stopping(self, running: Any, **kwargs: Any) -> None:
        if running:
            names = ", ".join(f"{one.task_name} ({one.pk})" for one in running)
            self.stdout.write(printable(f"worker stopping, waits for {names}"))
            self.stdout.flush()

    def show_start(self, label: str, options: WorkerOptions) -> None:
        """Write what the worker does, once it has begun; several workers share one line."""
        if self.starts_shown and not options.inline:
            message, values = log.start_line(label, options)
            self.stdout.write(printable(message % values))
            self.stdout.flush()
            self.starts_shown = False


@contextmanager
def naming_errors() -> Iterator[None]:
    """Turn an error of ours into one that the command line prints as a sentence."""
    try:
        yield
    except ToosimpleQError as error:
        raise CommandError(str(error), returncode=99) from error


def set_up_logging(verbosity: int, stream: TextIO | None) -> Callable[[], None]:
    """Let -v 0…3 decide what is logged: errors, warnings, what happens, each start as well.

    A level that the project's LOGGING sets for "toosimpleq" wins; at the default, -v 1, one that it
    sets for the root logger does, too. A project that has a handler keeps it; else, and when the
    caller gives a `stream`, lines go to that or to standard error. Returns what puts all back.
    """
    chosen = [
        logging.getLogger(name)
        for name in FRAMEWORKS
        if logging.getLogger(name).level == logging.NOTSET
    ]
    root_decides = verbosity == DEFAULT_VERBOSITY and logging.root.level != logging.WARNING
    if log.logger.level == logging.NOTSET and not root_decides:
        chosen.append(log.logger)
    handler = None
    if stream is not None or not log.logger.hasHandlers():
        handler = logging.StreamHandler(stream)
        handler.setFormatter(Lines("[%(asctime)s] %(levelname)s %(message)s"))
        log.logger.addHandler(handler)
    for logger in chosen:
        logger.setLevel(LEVELS[verbosity])
    log.connect()

    def undo() -> None:
        for logger in chosen:
            logger.setLevel(logging.NOTSET)
        if handler is not None:
            log.logger.removeHandler(handler)
        log.connect()

    return undo


def shows_info() -> bool:
    """Return whether the worker's own handler shows the INFO line of its start."""
    own = any(isinstance(one.formatter, Lines) for one in log.logger.handlers)
    return own and log.logger.isEnabledFor(logging.INFO)


class Lines(logging.Formatter):
    """Escapes what a terminal would obey in tracebacks, which hold whatever a task was given."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), lines=True)
