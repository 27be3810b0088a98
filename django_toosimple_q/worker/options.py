"""The options of a worker, defined once for the command, the supervisor and the tests."""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from django_toosimple_q.exceptions import ToosimpleQError, shown
from django_toosimple_q.retry import LONGEST_DELAY_SECONDS
from django_toosimple_q.task_options import LONGEST_NAME, Option, read_queue, table
from django_toosimple_q.worker import platform
from django_toosimple_q.worker.processes.recycling import resident_megabytes

DEFAULT_LABEL = "worker-{pid}"
DEFAULT_TICK_SECONDS = 10.0
DEFAULT_TIMEOUT_SECONDS = 300.0
DEFAULT_GRACE_SECONDS = 3.0
SHORTEST_TIMEOUT_SECONDS = 1.0
LONGEST_BEAT_SECONDS = 5.0

N = TypeVar("N", int, float)


class InvalidOption(ToosimpleQError, ValueError):
    """A worker option has an invalid value, or does not fit another one."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """The flag of an option on the command line, spelled with underscores or with dashes.

    others are alternative names. type converts its text. Flags of one group exclude each other.
    negates: the flag turns off an option that is on by default. The rest is passed to argparse.
    """

    name: str
    others: tuple[str, ...] = ()
    help: str
    type: Callable[[str], Any] | None = None
    action: str = ""
    metavar: str = ""
    group: str = ""
    negates: bool = False

    @property
    def spellings(self) -> list[str]:
        """Return all spellings of the flag."""
        names = (self.name, *self.others)
        pairs = [(f"--{name}", f"--{name.replace('_', '-')}") for name in names]
        return list(dict.fromkeys(spelling for pair in pairs for spelling in pair))

    def add_to(self, parser: Any, option: Option) -> None:
        """Add the flag to a parser, or to a group of a parser."""
        settings: dict[str, Any] = {"dest": self.name, "help": self.help}
        if self.action:
            settings["action"] = self.action
        if self.type:
            settings["type"] = self.type
        if self.metavar:
            settings["metavar"] = self.metavar
        if option.choices:
            settings["choices"] = list(option.choices)
        if self.action != "store_true":
            settings["default"] = [] if option.default == () else option.default
        parser.add_argument(*self.spellings, **settings)


def names(text: str) -> list[str]:
    """Return the queues of one flag. Refuse an empty list, which would mean all queues."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(
            f"cannot be {text!r}. Name a queue, or omit the option to run all queues."
        )
    return found


def seconds(text: str) -> float:
    """Return the value of a flag in seconds."""
    return _number(float, text, "Use a number of seconds, such as 2.5.")


def megabytes(text: str) -> float:
    """Return the value of a flag in megabytes."""
    return _number(float, text, "Use a number of megabytes, such as 300.")


def count(text: str) -> int:
    """Return the value of a flag that is a whole number."""
    return _number(int, text, "Use a whole number, such as 4.")


def _number(kind: Callable[[str], N], text: str, cure: str) -> N:
    try:
        return kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"cannot be {text!r}. {cure}") from error


def read_queues(given: Any) -> Any:
    """Return names of queues. Raises ValueError with the cure."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ValueError('Use a list of names, such as ["mail", "sms"].')
    for name in given:
        try:
            read_queue(name)
        except ValueError as error:
            raise ValueError(f"{shown(name)} cannot be the name of a queue. {error}") from error
    return given


def read_label(given: Any) -> str:
    """Return a label. Raises ValueError with the cure."""
    if not isinstance(given, str):
        raise ValueError("Use text.")
    if "\x00" in given:
        raise ValueError("Remove the NUL character.")
    return given


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The options of `manage.py worker`. Raises `InvalidOption` for an invalid value."""

    queues: Annotated[
        Sequence[str],
        Option(reads=read_queues),
        Flag(
            name="queue",
            action="extend",
            type=names,
            group="queues",
            help="a queue to run, or several separated by commas (repeatable; default: all)",
        ),
    ] = ()
    """The queues to run. An empty sequence means all."""
    excluded_queues: Annotated[
        Sequence[str],
        Option(reads=read_queues),
        Flag(
            name="exclude_queue",
            action="extend",
            type=names,
            group="queues",
            help="a queue not to run, or several separated by commas (repeatable)",
        ),
    ] = ()
    """The queues not to run."""
    tick: Annotated[
        float,
        Option(above=0, high=LONGEST_DELAY_SECONDS, unit="seconds"),
        Flag(
            name="tick",
            others=("interval",),
            type=seconds,
            metavar="SECONDS",
            help="how often to look at the database when no wake-up arrives (%(default)s)",
        ),
    ] = DEFAULT_TICK_SECONDS
    """Seconds between looks at the database when no hint arrives."""
    once: Annotated[
        bool,
        Option(),
        Flag(
            name="once",
            action="store_true",
            group="ending",
            help="queue what is due, run at most one task, and return",
        ),
    ] = False
    """Whether to run at most one task and return."""
    until_done: Annotated[
        bool,
        Option(),
        Flag(
            name="until_done",
            others=("batch",),
            action="store_true",
            group="ending",
            help="run until nothing is queued or due, then return",
        ),
    ] = False
    """Whether to return once nothing is queued or due."""
    schedules: Annotated[
        bool,
        Option(),
        Flag(
            name="no_schedules",
            action="store_true",
            negates=True,
            help="leave the schedules to other workers",
        ),
    ] = True
    """Whether to queue the tasks of schedules."""
    label: Annotated[
        str,
        Option(reads=read_label),
        Flag(name="label", help="the worker's name; {pid} is the process id (%(default)s)"),
    ] = DEFAULT_LABEL
    """The worker's name, in which `{pid}` is replaced by the process id."""
    timeout: Annotated[
        float,
        Option(low=SHORTEST_TIMEOUT_SECONDS, high=LONGEST_DELAY_SECONDS, unit="seconds"),
        Flag(
            name="timeout",
            type=seconds,
            metavar="SECONDS",
            help="a worker without a heartbeat for this long counts as dead, and its tasks run "
            "elsewhere (%(default)s); tasks may run longer",
        ),
    ] = DEFAULT_TIMEOUT_SECONDS
    """Seconds after which a worker without a heartbeat counts as dead."""
    grace: Annotated[
        float,
        Option(low=0, high=LONGEST_DELAY_SECONDS, unit="seconds"),
        Flag(
            name="grace",
            type=seconds,
            metavar="SECONDS",
            help="how long running tasks may continue after SIGTERM (%(default)s)",
        ),
    ] = DEFAULT_GRACE_SECONDS
    """Seconds that running tasks may continue after SIGTERM."""
    processes: Annotated[
        int,
        Option(low=1, cure="Use 1 or more."),
        Flag(
            name="processes",
            type=count,
            metavar="N",
            help="how many processes to run; 2 or more under a supervisor (%(default)s)",
        ),
    ] = 1
    """How many processes run under a supervisor. A single one runs without it."""
    threads: Annotated[
        int,
        Option(low=1, cure="Use 1 or more."),
        Flag(
            name="threads",
            type=count,
            metavar="N",
            help="how many tasks to run at a time in each process (%(default)s)",
        ),
    ] = 1
    """How many tasks run at a time in each process."""
    max_tasks: Annotated[
        int | None,
        Option(low=1, cure="Use 1 or more."),
        Flag(
            name="max_tasks",
            type=count,
            metavar="N",
            help="end a process after this many tasks; a supervisor, if any, starts another",
        ),
    ] = None
    """The number of tasks after which a process ends."""
    max_memory: Annotated[
        float | None,
        Option(above=0, high=float(2**53), cure="Use 1 or more."),
        Flag(
            name="max_memory",
            type=megabytes,
            metavar="MB",
            help="end a process between two tasks if it holds more than this many megabytes",
        ),
    ] = None
    """Megabytes above which a process ends between two tasks."""
    reload: Annotated[
        Literal["always", "never"] | None,
        Option(cure='Use "always" or "never".'),
        Flag(name="reload", help="restart when code changes (default: when DEBUG is on)"),
    ] = None
    """Whether to restart when code changes. None means if DEBUG is on."""

    def __post_init__(self) -> None:
        for option in WORKER_OPTIONS.values():
            what = f"--{FLAGS[option.name].name}"
            option.read(getattr(self, option.name), what, InvalidOption)
        if self.queues and self.excluded_queues:
            raise InvalidOption(
                f"--queue {list(self.queues)} and --exclude_queue {list(self.excluded_queues)} "
                "cannot be combined. Remove one."
            )
        if self.once and self.until_done:
            raise InvalidOption("--once and --until_done cannot be combined. Remove one.")
        if self.inline and (self.processes, self.threads) != (1, 1):
            raise InvalidOption(
                "--once and --until_done run in one thread of one process. "
                "Remove --processes and --threads."
            )
        if self.processes > 1 and not platform.CAN_FORK:
            raise InvalidOption(
                f"--processes cannot be {self.processes}: this system cannot fork. Use --threads, "
                "or start several workers."
            )
        if self.max_memory is not None and resident_megabytes() is None:
            raise InvalidOption(
                f"--max_memory cannot be {self.max_memory:g}: this system does not tell how much "
                "memory a process holds. Use --max_tasks."
            )
        if self.reload == "always" and self.processes > 1:
            raise InvalidOption("--reload works with one process only. Remove --processes.")
        if not 0 < len(self.resolved_label()) <= LONGEST_NAME:
            raise InvalidOption(
                f"--label has {len(self.resolved_label())} characters. Use 1 to {LONGEST_NAME}."
            )

    @property
    def inline(self) -> bool:
        """Return whether the worker runs in the calling thread, on its connection, then ends."""
        return self.once or self.until_done

    @property
    def label_is_default(self) -> bool:
        return self.label == DEFAULT_LABEL

    @property
    def beat(self) -> float:
        """Return the seconds between two heartbeats."""
        return beat_seconds(self.timeout)

    def resolved_label(self) -> str:
        """Return the label with {pid} filled in."""
        return self.label.replace("{pid}", str(os.getpid()))

    def takes(self, queue: str) -> bool:
        """Return whether this worker runs calls of a queue."""
        return queue not in self.excluded_queues and (not self.queues or queue in self.queues)


WORKER_OPTIONS = table(WorkerOptions)
FLAGS: Mapping[str, Flag] = {
    name: flag
    for name, hint in get_type_hints(WorkerOptions, include_extras=True).items()
    for flag in getattr(hint, "__metadata__", ())
    if isinstance(flag, Flag)
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every flag to the parser of a command."""
    groups: dict[str, Any] = {"": parser}
    for name, flag in FLAGS.items():
        if flag.group not in groups:
            groups[flag.group] = parser.add_mutually_exclusive_group()
        flag.add_to(groups[flag.group], WORKER_OPTIONS[name])


def from_arguments(given: Mapping[str, Any]) -> WorkerOptions:
    """Return the options from the arguments of a command. Raises `InvalidOption`."""
    values = {name: given[flag.name] for name, flag in FLAGS.items()}
    for name, flag in FLAGS.items():
        if flag.negates:
            values[name] = not values[name]
    return WorkerOptions(**values)


def beat_seconds(timeout: float) -> float:
    """Return the seconds between two heartbeats of a worker with this timeout."""
    return min(timeout / 6, LONGEST_BEAT_SECONDS)
