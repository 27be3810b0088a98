"""The definition of a schedule: which task to queue, when, and with which arguments."""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, TypedDict
from zoneinfo import ZoneInfo

from django_toosimple_q import conf, masking
from django_toosimple_q.cron import Cron
from django_toosimple_q.exceptions import InvalidArguments, InvalidCron, InvalidDefinition
from django_toosimple_q.task import Task
from django_toosimple_q.task_options import REQUIRED, Option, read_name, read_queue, table

# For arguments that no error may quote.
SENSITIVE_CURES = {"args": "list or tuple", "kwargs": "dict of names of parameters"}
# Counting stops here, since a schedule by the second may have missed a year.
SKIPPED_COUNTED = 1000


def read_args(given: Any) -> tuple[Any, ...]:
    """Return a copy of positional arguments. Raises ValueError with the cure."""
    if isinstance(given, str | bytes | bytearray) or not isinstance(given, Sequence):
        raise ValueError("Use a list or tuple.")
    return tuple(_copied(tuple(given)))


def read_kwargs(given: Any) -> dict[str, Any]:
    """Return a copy of keyword arguments. Raises ValueError with the cure."""
    if not isinstance(given, Mapping):
        raise ValueError("Use a dict.")
    if not all(isinstance(name, str) for name in given):
        raise ValueError("Use names of parameters as its keys.")
    return dict(_copied(dict(given)))


def read_parameter(given: Any) -> str:
    """Return the name of a parameter. Raises ValueError with the cure."""
    if not isinstance(given, str) or not given.isidentifier():
        raise ValueError('Use the name of a parameter of the task, such as "day".')
    return given


def read_zone(given: Any) -> Any:
    """Return the name of a time zone. Raises ValueError with the cure."""
    try:
        ZoneInfo(str(given))
    except (KeyError, ValueError, OSError) as error:
        raise ValueError('Use a name such as "Europe/Paris".') from error
    return given


def _copied(values: Any) -> Any:
    try:
        return copy.deepcopy(values)
    except Exception as error:  # copying runs code of user classes
        raise ValueError(
            f"It cannot be copied ({type(error).__name__}: {error}). Use plain values such as ids, "
            "and load the objects in the task."
        ) from error


class ScheduleOptions(TypedDict, total=False):
    """The options of `@schedule_task` besides `cron`. All are optional."""

    name: Annotated[str, Option(default=REQUIRED, reads=read_name, shown="the task's")]
    """The name that its row carries. Several schedules of one task need one each."""
    queue: Annotated[
        str,
        Option(default="default", field="queue_name", reads=read_queue, aliases=("queue_name",)),
    ]
    """Which workers look after the schedule; the queue of the calls is the task's own."""
    args: Annotated[Sequence[Any], Option(default=(), reads=read_args, shown="none")]
    """The positional arguments of each call."""
    kwargs: Annotated[Mapping[str, Any], Option(default={}, reads=read_kwargs, shown="none")]
    """The keyword arguments of each call."""
    datetime_kwarg: Annotated[str | None, Option(reads=read_parameter, shown="none")]
    """The parameter that gets the moment of the occurrence, an aware datetime."""
    catch_up: Annotated[bool, Option(default=False, aliases=("catchup",))]
    """After a pause, queue every missed occurrence, oldest first, and not only the latest."""
    run_on_creation: Annotated[bool, Option(default=False)]
    """Run a new schedule at once, without waiting for its next occurrence."""
    timezone: Annotated[
        str | None, Option(reads=read_zone, shown="`TIME_ZONE`", aliases=("tz", "zone"))
    ]
    """The zone of the expression. `TOOSIMPLEQ_CRON_TIMEZONE` sets it for all schedules."""


SCHEDULE_OPTIONS: Mapping[str, Option] = table(ScheduleOptions)


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """A cron expression that queues a task, made by `@schedule_task`.

    `ScheduleOptions` documents the options. Raises `InvalidDefinition` or `InvalidCron` for an
    invalid value. `args` and `kwargs` are copied.
    """

    task: Task[Any, Any]
    name: str
    cron: str
    queue_name: str = "default"
    args: Sequence[Any] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    datetime_kwarg: str | None = None
    catch_up: bool = False
    run_on_creation: bool = False
    timezone: str | None = None
    expression: Cron = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for option in SCHEDULE_OPTIONS.values():
            given = getattr(self, option.field)
            read = self._read(option, given)
            object.__setattr__(self, option.field, read)
        object.__setattr__(self, "expression", Cron.parse(self.cron, self._zone(), self.name))

    @property
    def location(self) -> str:
        """Return where the schedule is defined, for error messages."""
        return self.task.location

    @property
    def expression_text(self) -> str:
        """Return the expression and its time zone, as the row keeps them."""
        return f"{self.cron} {self.expression.timezone}"

    def with_expression(self, expression_text: str) -> "Schedule | None":
        """Return this schedule with another expression; None if that cannot be read."""
        cron, _, zone = expression_text.rpartition(" ")
        try:
            return replace(self, cron=cron, timezone=zone)
        except (InvalidCron, InvalidDefinition):
            return None

    def call_at(self, occurrence: datetime) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the call for this occurrence (aware)."""
        moment = {self.datetime_kwarg: occurrence} if self.datetime_kwarg else {}
        return tuple(self.args), {**self.kwargs, **moment}

    def shown_arguments(self, moment: Any) -> tuple[Any, Any]:
        """Return the arguments of a call as they are shown, `moment` as that of the occurrence."""
        moments = {self.datetime_kwarg: moment} if self.datetime_kwarg else {}
        return masking.masked(self.task, self.args, {**self.kwargs, **moments})

    def missed(self, last: datetime | None, now: datetime) -> Iterator[datetime]:
        """Yield the occurrences to queue at `now`, oldest first, given the last one handled.

        With `catch_up` these are all after `last`, else only the latest. A `last` of None means a
        new schedule that is to run at once, for its most recent occurrence. All are aware.
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
        """Return how many occurrences a pause skipped between the last one handled and `first`.

        Counting stops at SKIPPED_COUNTED. With a `last` of None there are none. All are aware.
        """
        if last is None or self.catch_up:
            return 0
        since = islice(self.expression.between(last, first), SKIPPED_COUNTED)
        return sum(1 for occurrence in since if occurrence < first)

    def resume_after(self, now: datetime, queued: Collection[datetime]) -> datetime:
        """Return the moment after which to go on when the clock went back to `now`.

        Occurrences that follow and are `queued` already are passed over. All are aware.
        """
        after = now
        while (next_one := self.expression.next(after)) in queued and next_one is not None:
            after = next_one
        return after

    def check_arguments(self) -> None:
        """Raise `InvalidArguments` if the arguments do not fit the task's signature."""
        sample = datetime(2000, 1, 1)
        try:
            self.task.bind(*self.call_at(sample))
        except InvalidArguments as error:
            raise InvalidArguments(f"schedule {self.name!r}: {error}") from error

    def _read(self, option: Option, given: Any) -> Any:
        what = f"schedule {self.name!r}: {option.name}"
        if not self.task.sensitive or option.name not in ("args", "kwargs"):
            return option.read(given, what)
        try:
            return option.read(given, what)
        except InvalidDefinition:
            wrong = InvalidDefinition(
                f"{what} cannot be {masking.MASK!r}. Use a {SENSITIVE_CURES[option.name]} of plain "
                "values such as ids."
            )
        # Outside of the block: the refusal that quotes the value is not in its context.
        raise wrong

    def _zone(self) -> ZoneInfo:
        name = self.timezone or conf.cron_timezone()
        option = SCHEDULE_OPTIONS["timezone"]
        return ZoneInfo(str(option.read(name, f"schedule {self.name!r}: timezone")))

    def _wrong(self, option: str, value: object, cure: str) -> InvalidDefinition:
        return InvalidDefinition(f"schedule {self.name!r}: {option} cannot be {value!r}. {cure}")


def first(occurrences: Iterator[datetime], count: int) -> tuple[list[datetime], bool]:
    """Return at most `count` occurrences, and whether more were left."""
    batch = list(islice(occurrences, count + 1))
    return batch[:count], len(batch) > count
