"""The table of task options: type, default, bounds, unit, cure and reader of each.

The decorators, the definitions, the packages in contrib and the documentation use this table.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypedDict, Union, get_args, get_origin, get_type_hints

from django_toosimple_q.exceptions import (
    InvalidDefinition,
    InvalidDue,
    UnknownOption,
    did_you_mean,
    shown,
)
from django_toosimple_q.masking import read_sensitive
from django_toosimple_q.moments import STORABLE, check_moment
from django_toosimple_q.rate import Rate
from django_toosimple_q.retry import LONGEST_DELAY_SECONDS

LONGEST_NAME = 255
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**31), 2**31 - 1
REQUIRED: Any = object()


@dataclass(frozen=True, kw_only=True)
class Option:
    """One row of a table of options. What is left out follows from the type of the option.

    low and high are inclusive bounds, and above is an exclusive lower bound. cure is a sentence
    that says what to use instead of a wrong value. reads converts a value to the one that a
    definition keeps, or raises ValueError with the cure. aliases are names that users try. shown
    is the default as the documentation shows it. `table` sets name, hint (the type) and field (the
    attribute).
    """

    default: Any = None
    low: float | None = None
    above: float | None = None
    high: float | None = None
    unit: str = ""
    none_means: str = ""
    cure: str = ""
    reads: Callable[[Any], Any] | None = None
    aliases: tuple[str, ...] = ()
    shown: str = ""
    name: str = ""
    field: str = ""
    hint: Any = None

    @property
    def choices(self) -> tuple[Any, ...]:
        """Return the values of an option that has a fixed set of them, else an empty tuple."""
        literals = [kind for kind in _kinds(self.hint) if get_origin(kind) is Literal]
        return get_args(literals[0]) if literals else ()

    def read(self, value: Any, what: str, error: type[Exception] = InvalidDefinition) -> Any:
        """Return `value` as a definition keeps it.

        `what` names the option in the message of the `error` that refuses a wrong value.
        """
        if value is None and NoneType in _kinds(self.hint):
            return None
        try:
            return self._read(value)
        except ValueError as cure:
            raise error(f"{what} cannot be {shown(value)}. {cure}") from cure

    def _read(self, value: Any) -> Any:
        if self.reads is not None:
            return self.reads(value)
        if not self._fits(value):
            raise ValueError(self.cure or self._cure())
        return value

    def _fits(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices if isinstance(value, str) else False
        kinds = _kinds(self.hint)
        if isinstance(value, bool):
            return bool in kinds
        if not isinstance(value, int) and not (isinstance(value, float) and float in kinds):
            return False
        if int not in kinds and float not in kinds:
            return False
        # Written so that NaN, which is neither above nor below any number, meets no bound.
        return (
            (self.low is None or value >= self.low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
        )

    def _cure(self) -> str:
        if self.choices:
            return f"Use {' or '.join(_quoted(choice) for choice in self.choices)}."
        kinds = _kinds(self.hint)
        if kinds == (bool,):
            return "Use True or False."
        number = "a number" if float in kinds else "a whole number"
        text = f"Use {number} of {self.unit}" if self.unit else f"Use {number}"
        if float not in kinds and self.low is not None and self.high is not None:
            text += f" from {self.low} to {self.high}"
        else:
            text += f" above {self.above:g}" if self.above is not None else ""
            text += f" of at least {self.low:g}" if self.low is not None else ""
            text += f", at most {self.high:.0f}" if self.high is not None else ""
        return f"{text}, or None for {self.none_means}." if self.none_means else f"{text}."


def table(owner: type) -> dict[str, Option]:
    """Return the options in the annotations of a TypedDict or dataclass, by name."""
    options: dict[str, Option] = {}
    defaults = {one.name: one.default for one in fields(owner)} if is_dataclass(owner) else {}
    for name, hint in get_type_hints(owner, include_extras=True).items():
        for option in getattr(hint, "__metadata__", ()):
            if isinstance(option, Option):
                options[name] = replace(
                    option,
                    name=name,
                    field=option.field or name,
                    hint=hint.__origin__,
                    default=defaults.get(name, option.default),
                )
    return options


def refuse_unknown(
    given: Iterable[str], options: Mapping[str, Option], what: str, when: str = ""
) -> None:
    """Raise `UnknownOption` for an unknown name, and suggest the option that was probably meant.

    `when` explains how to queue a call for later, which users expect to be an option.
    """
    when = when or WHEN_QUEUED
    aliases = {alias: one.name for one in options.values() for alias in one.aliases}
    for name in given:
        if name not in options:
            cure = when
            if name not in WORDS_FOR_DUE:
                known = f"It has: {', '.join(sorted(options))}."
                cure = did_you_mean(name, options, known, aliases=aliases)
                cure += f" {when}" if name == "delay" else ""
            raise UnknownOption(f"{what} has no option {name!r}. {cure}")


def check_name(name: Any, what: str) -> None:
    """Raise `InvalidDefinition` for a name that a database cannot store or that looks empty."""
    try:
        read_name(name)
    except ValueError as cure:
        raise InvalidDefinition(f"{what} cannot be {shown(name)}. {cure}") from cure


def read_name(name: Any) -> str:
    """Return a name. Raises ValueError with the cure."""
    if not isinstance(name, str):
        raise ValueError("Use text.")
    if not name.strip():
        raise ValueError("Give it a name.")
    if name != name.strip():
        raise ValueError("Remove the white space around it.")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"It has {len(name)} characters. Use at most {LONGEST_NAME}.")
    if "\x00" in name:
        raise ValueError("Remove the NUL character.")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError("Remove the lone surrogate, which is not a character.") from error
    return name


def read_queue(name: Any) -> str:
    """Return the name of one queue. Raises ValueError with the cure."""
    if "," in read_name(name):
        raise ValueError("Use a name without a comma: --queue a,b names two queues.")
    return str(name)


def read_exceptions(given: Any) -> tuple[type[BaseException], ...]:
    """Return one exception class, or several in a list, tuple or set, as a tuple.

    Raises ValueError with the cure.
    """
    if isinstance(given, type):
        given = (given,)
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ValueError(EXCEPTIONS_CURE)
    kinds = tuple(given)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise ValueError(EXCEPTIONS_CURE)
    return kinds


def read_function(given: Any) -> Callable[..., Any]:
    """Return a callable. Raises ValueError with the cure."""
    if not callable(given):
        raise ValueError("Use a function that takes the arguments of the task, or None.")
    return given


def read_rate(given: Any) -> str:
    """Return the text of a rate. Raises ValueError with the cure."""
    Rate.parse(given)
    return str(given)


def read_expiry(given: Any) -> datetime | timedelta:
    """Return how long a call may wait, or until when. Raises ValueError with the cure."""
    if isinstance(given, datetime):
        try:
            check_moment(given, "expires")
        except InvalidDue as error:
            raise ValueError(STORABLE) from error
        return given
    longest = timedelta(seconds=LONGEST_DELAY_SECONDS)
    if not isinstance(given, timedelta) or not timedelta(0) < given <= longest:
        raise ValueError(f"Use a timedelta above 0, at most {longest.days} days, or a datetime.")
    return given


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return the types of a type hint. `int | None` has two."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _quoted(choice: str) -> str:
    return f'"{choice}"'


EXCEPTIONS_CURE = "Use exception classes, such as (ConnectionError, TimeoutError)."
WHEN_QUEUED = "To start a call later, pass due to queue(): task.queue(…, due=…)."
# Options of a call, not of a task.
WORDS_FOR_DUE = ("due", "eta", "countdown", "run_after")


class TaskOptions(TypedDict, total=False):
    """The options of `@register_task`. All are optional."""

    name: Annotated[str, Option(default=REQUIRED, reads=read_name, shown="`module.name`")]
    """The name that rows carry."""
    queue: Annotated[
        str,
        Option(default="default", field="queue_name", reads=read_queue, aliases=("queue_name",)),
    ]
    """The queue that calls wait in. A worker runs all queues, or those that it is given."""
    priority: Annotated[int, Option(default=0, low=SMALLEST_INTEGER, high=LARGEST_INTEGER)]
    """Larger numbers run first."""
    unique: Annotated[bool, Option(default=False)]
    """A call that already waits with the same arguments is not queued twice."""
    unique_by: Annotated[Callable[..., Any] | None, Option(reads=read_function, shown="none")]
    """A function of the arguments that returns what is compared, in place of all arguments."""
    retries: Annotated[
        int,
        Option(
            default=0,
            low=-1,
            high=LARGEST_INTEGER,
            unit="attempts",
            cure=f"Use 0 or more, up to {LARGEST_INTEGER}, or -1 to retry for ever.",
            aliases=("retry", "max_retries", "retry_count", "max_attempts"),
        ),
    ]
    """How often a failed call is tried again; `-1` is for ever."""
    retry_delay: Annotated[
        int,
        Option(
            default=0,
            low=0,
            high=LONGEST_DELAY_SECONDS,
            unit="seconds",
            aliases=("delay", "default_retry_delay", "retry_backoff", "backoff"),
        ),
    ]
    """Seconds before the first retry; each further one waits twice as long."""
    retry_delay_max: Annotated[
        int | None,
        Option(
            low=0,
            high=LONGEST_DELAY_SECONDS,
            unit="seconds",
            none_means="a year",
            shown="a year",
            aliases=("retry_backoff_max", "max_delay"),
        ),
    ]
    """The longest wait before a retry, in seconds."""
    retry_jitter: Annotated[bool, Option(default=False, aliases=("jitter",))]
    """Wait a random share of the delay, so that calls that failed together are retried apart."""
    retry_for: Annotated[
        type[BaseException] | Iterable[type[BaseException]],
        Option(
            default=(BaseException,),
            reads=read_exceptions,
            shown="all",
            aliases=("autoretry_for", "retry_on"),
        ),
    ]
    """The exception classes that are retried, one or several."""
    retry_not_for: Annotated[
        type[BaseException] | Iterable[type[BaseException]],
        Option(default=(), reads=read_exceptions, shown="none", aliases=("dont_autoretry_for",)),
    ]
    """The exception classes that are not retried, even if `retry_for` names them."""
    timeout: Annotated[
        float | None,
        Option(
            above=0,
            high=LONGEST_DELAY_SECONDS,
            unit="seconds",
            none_means="no limit",
            shown="none",
            aliases=("time_limit", "soft_time_limit"),
        ),
    ]
    """Seconds that a call may run before `TaskTimeout` is raised in it."""
    timeout_grace: Annotated[
        float, Option(default=5, above=0, high=LONGEST_DELAY_SECONDS, unit="seconds")
    ]
    """Seconds that a call gets to stop once its `timeout` is over."""
    max_running: Annotated[
        int | None,
        Option(
            low=1,
            high=LARGEST_INTEGER,
            cure="Use a whole number of 1 or more, or None for no limit.",
            shown="none",
            aliases=("concurrency", "max_concurrency", "concurrency_limit"),
        ),
    ]
    """How many calls may run at once, over all workers."""
    rate_limit: Annotated[str | None, Option(reads=read_rate, shown="none", aliases=("rate",))]
    """How many calls may start in a second, minute, hour or day, over all workers: `"10/m"`."""
    expires: Annotated[datetime | timedelta | None, Option(reads=read_expiry, shown="none")]
    """How long a call may wait (a timedelta), or until when (a datetime), before it is dropped."""
    atomic: Annotated[bool, Option(default=False)]
    """Commit what a call writes together with the fact that it succeeded."""
    on_missing_row: Annotated[Literal["cancel", "fail"], Option(default="cancel")]
    """What happens if the row of a model instance among the arguments is gone: the call gives up at
    once, or with `"fail"` fails like any other."""
    on_interruption: Annotated[Literal["replace", "hold"], Option(default="replace")]
    """A call that was cut off runs again, or with `"hold"` waits for a person to decide."""
    sensitive: Annotated[
        bool | Iterable[str], Option(default=(), reads=read_sensitive, shown="none")
    ]
    """The names of arguments that are never shown, as in `["password"]`, or `True` for all."""


TASK_OPTIONS: Mapping[str, Option] = table(TaskOptions)
DEFAULTS: Mapping[str, Any] = {name: one.default for name, one in TASK_OPTIONS.items()}
