"""A schedule's definition: which task to queue when, with which arguments. Holds no rows."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django_toosimple_q import conf
from django_toosimple_q.cron import Cron
from django_toosimple_q.exceptions import InvalidArguments, InvalidDefinition
from django_toosimple_q.task import Task, check_name

# A year by the second is not counted to its end.
SKIPPED_COUNTED = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """A cron expression that queues a task, made by `@schedule_task`.

    Raises `InvalidDefinition` or `InvalidCron` when unsound. `args` and `kwargs` are copied.
    `timezone` names the zone of the expression, by default TOOSIMPLEQ_CRON_TIMEZONE or TIME_ZONE.
    """

    task: Task[Any, Any]
    name: str
    cron: str
    queue_name: str = "default"
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    datetime_kwarg: str | None = None
    catch_up: bool = False
    run_on_creation: bool = False
    timezone: str | None = None
    expression: Cron = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "the name of a schedule")
        check_name(self.queue_name, "the queue of a schedule")
        if isinstance(self.args, str) or not isinstance(self.args, Sequence):
            raise self._wrong("args", self.args, "Use a list or tuple.")
        if not isinstance(self.kwargs, Mapping):
            raise self._wrong("kwargs", self.kwargs, "Use a dict.")
        object.__setattr__(self, "args", tuple(copy.deepcopy(tuple(self.args))))
        object.__setattr__(self, "kwargs", copy.deepcopy(dict(self.kwargs)))
        object.__setattr__(self, "expression", Cron.parse(self.cron, self._zone(), self.name))

    @property
    def place(self) -> str:
        """Return where the schedule is defined, for error messages."""
        return self.task.place

    def call_at(self, occurrence: datetime) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the call that this occurrence (aware) queues."""
        moment = {self.datetime_kwarg: occurrence} if self.datetime_kwarg else {}
        return tuple(self.args), {**self.kwargs, **moment}

    def missed(self, last: datetime | None, now: datetime) -> Iterator[datetime]:
        """Yield the occurrences to queue at `now`, oldest first, given the last one handled.

        With `catch_up` each one after `last`, else only the latest. A `last` of None is a schedule
        that has never run and shall at once: its most recent occurrence. All aware.
        """
        if self.expression.manual:
            return
        latest = self.expression.latest(now)
        if latest is None or (last is not None and latest <= last):
            return
        if last is None or not self.catch_up:
            yield latest
        else:
            yield from self.expression.between(last, now)

    def skipped(self, last: datetime | None, first: datetime) -> int:
        """Return how many occurrences a pause has cost between the last one handled and `first`.

        SKIPPED_COUNTED stands for more as well. A `last` of None has no past to miss. All aware.
        """
        if last is None or self.catch_up:
            return 0
        since = islice(self.expression.between(last, first), SKIPPED_COUNTED)
        return sum(1 for occurrence in since if occurrence < first)

    def check_arguments(self) -> None:
        """Raise `InvalidArguments` when the arguments do not fit the task's signature."""
        sample = datetime(2000, 1, 1)
        try:
            self.task.bind(*self.call_at(sample))
        except InvalidArguments as error:
            raise InvalidArguments(f"schedule {self.name!r}: {error}") from error

    def _zone(self) -> ZoneInfo:
        name = self.timezone or conf.cron_timezone()
        try:
            return ZoneInfo(str(name))
        except (KeyError, ValueError, OSError) as error:
            raise self._wrong("timezone", name, 'Use a name such as "Europe/Paris".') from error

    def _wrong(self, option: str, value: object, cure: str) -> InvalidDefinition:
        return InvalidDefinition(f"schedule {self.name!r}: {option} cannot be {value!r}. {cure}")


def first(occurrences: Iterator[datetime], count: int) -> tuple[list[datetime], bool]:
    """Return at most `count` occurrences, and whether more were left."""
    batch = list(islice(occurrences, count + 1))
    return batch[:count], len(batch) > count
