"""How a worker is to work: each option once, for the command, the supervisor and the tests."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from django_toosimple_q.exceptions import ToosimpleQError
from django_toosimple_q.task import LONGEST_NAME, LONGEST_SECONDS

DEFAULT_LABEL = "worker-{pid}"
DEFAULT_TICK_SECONDS = 10.0
DEFAULT_TIMEOUT_SECONDS = 300.0
DEFAULT_GRACE_SECONDS = 3.0
SHORTEST_TIMEOUT_SECONDS = 1.0
LONGEST_BEAT_SECONDS = 5.0


class InvalidOption(ToosimpleQError, ValueError):
    """A worker option that cannot be right."""


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The options of `manage.py worker`. Raises `InvalidOption`.

    tick: seconds between looks at the database when no hint arrives. timeout: seconds after which
    a worker that is not heard of counts as dead. grace: seconds that running tasks get on SIGTERM.
    max_memory: megabytes.
    """

    queues: Sequence[str] = ()
    excluded_queues: Sequence[str] = ()
    tick: float = DEFAULT_TICK_SECONDS
    once: bool = False
    until_done: bool = False
    schedules: bool = True
    label: str = DEFAULT_LABEL
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    grace: float = DEFAULT_GRACE_SECONDS
    processes: int = 1
    threads: int = 1
    max_tasks: int | None = None
    max_memory: float | None = None

    def __post_init__(self) -> None:
        if self.queues and self.excluded_queues:
            raise InvalidOption(
                "a worker either runs some queues or leaves some out, "
                f"not both: {list(self.queues)} and {list(self.excluded_queues)}. Drop one option."
            )
        if self.once and self.until_done:
            raise InvalidOption("--once and --until_done exclude each other. Drop one.")
        _check_seconds("tick", self.tick, above=0)
        _check_seconds("timeout", self.timeout, above=SHORTEST_TIMEOUT_SECONDS - 0.001)
        _check_seconds("grace", self.grace, above=-0.001)
        for name in ("processes", "threads", "max_tasks", "max_memory"):
            _check_count(name, getattr(self, name))
        if self.inline and (self.processes, self.threads) != (1, 1):
            raise InvalidOption(
                "--once and --until_done run in one thread of one process. "
                "Drop --processes and --threads."
            )
        if not 0 < len(self.resolved_label()) <= LONGEST_NAME:
            raise InvalidOption(
                f"--label has {len(self.resolved_label())} characters. Use 1 to {LONGEST_NAME}."
            )

    @property
    def inline(self) -> bool:
        """Tell whether the worker runs in the calling thread, on its connection, and returns."""
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
        """Tell whether this worker takes rows of a queue."""
        return queue not in self.excluded_queues and (not self.queues or queue in self.queues)


def beat_seconds(timeout: float) -> float:
    """Return the seconds between two heartbeats of a worker with such a timeout."""
    return min(timeout / 6, LONGEST_BEAT_SECONDS)


def _check_seconds(name: str, value: float, *, above: float) -> None:
    if not above < value <= LONGEST_SECONDS:
        least = (
            "0" if above < 0 else f"{above:g}" if above == 0 else f"{SHORTEST_TIMEOUT_SECONDS:g}"
        )
        comparison = "above" if above == 0 else "of at least"
        raise InvalidOption(
            f"--{name} cannot be {value:g}. Use a number of seconds {comparison} {least}, "
            f"{LONGEST_SECONDS} at most."
        )


def _check_count(name: str, value: float | None) -> None:
    if value is not None and not (isfinite(value) and value > 0):
        raise InvalidOption(f"--{name} cannot be {value:g}. Use 1 or more.")
