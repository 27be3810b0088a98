"""What comes of a call that raised: its outcome, and whether another attempt follows."""

import traceback
from typing import Any

from django_toosimple_q import code_version, conf
from django_toosimple_q.exceptions import (
    Cancel,
    InvalidArguments,
    ResultNotStored,
    Retry,
    RowGone,
    TaskInterrupted,
    TaskTimeout,
    UnknownTask,
    UnreadablePayload,
    said,
)
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.fields import ERROR_TYPE_LENGTH
from django_toosimple_q.models import TaskExec
from django_toosimple_q.retry import NextAttempt, next_attempt
from django_toosimple_q.task import Task
from django_toosimple_q.text import clean, cut_middle

States = TaskExec.States

# Why a worker cannot call a task: it has other code, or other keys, than who queued the call.
NOT_BEGUN = (UnknownTask, UnreadablePayload, InvalidArguments)
UNKNOWN = f"{UnknownTask.__module__}.{UnknownTask.__qualname__}"
TRACEBACK_LENGTH = 64 * 1024
MESSAGE_LENGTH = 8 * 1024


def failure(task: Task[Any, Any], claimed: Claimed, error: BaseException) -> Outcome:
    """Return the outcome of a call that raised, whatever that is."""
    outcome = Outcome(
        States.FAILED,
        error=describe(error),
        error_type=dotted_name(type(error)),
        error_message=message_of(error),
    )
    try:
        _decide(outcome, task, claimed, error)
    except BaseException as broken:  # user code: the classes of retry_for, and what Retry was given
        reason = f"whether it is retried cannot be decided: {said(broken)}"
        outcome.error = clean(f"{(outcome.error or '').rstrip()}\n{reason}")
    return outcome


def _decide(outcome: Outcome, task: Task[Any, Any], claimed: Claimed, error: BaseException) -> None:
    """Write into the outcome what follows it."""
    # Not isinstance: __class__ is what user code says that it is.
    kind = type(error)
    given: Any = error
    if issubclass(kind, TaskInterrupted) and given.by_worker:
        outcome.state = States.INTERRUPTED
        outcome.replaced = not (claimed.hold or task.holds)
        if not outcome.replaced:
            outcome.error = f"{(outcome.error or '').rstrip()}; held for a person to decide"
    elif issubclass(kind, ResultNotStored):
        outcome.error = outcome.error_message
        if conf.get("TOOSIMPLEQ_RETRY_UNSTORABLE"):
            outcome.next_attempt = retried(task, claimed, error)
    elif not issubclass(kind, Cancel) or (kind is RowGone and task.on_missing_row == "fail"):
        outcome.timed_out = issubclass(kind, TaskTimeout)
        outcome.next_attempt = retried(task, claimed, error)
        if claimed.cancelled and outcome.next_attempt is not None:
            # Nothing follows a call that was cancelled. A task that was asked to stop and wants to
            # go on later has done as it was asked.
            outcome.next_attempt = None
            if issubclass(kind, Retry):
                outcome.state = States.INTERRUPTED


def not_begun(claimed: Claimed, error: BaseException) -> Outcome:
    """Return the outcome of a call that this worker's code cannot begin: other code may.

    `error` is one of `NOT_BEGUN`. Nothing of the task ran, so no retry is used up.
    """
    text = message_of(error)
    return Outcome(
        States.INVALID,
        error=text,
        error_type=dotted_name(type(error)),
        error_message=text,
        not_begun=True,
        refused_by=claimed.refused_also_by(code_version.own()),
    )


def retried(task: Task[Any, Any], claimed: Claimed, error: BaseException) -> NextAttempt | None:
    """Return the attempt that follows a failure, or None."""
    if issubclass(type(error), Retry):
        asked: Any = error
        delay, count = asked.delay_seconds, asked.count
    elif task.retries_after(error):
        delay, count = None, True
    else:
        return None
    return next_attempt(
        claimed.retries,
        claimed.retry_delay,
        delay_max=task.retry_delay_max,
        jitter=task.retry_jitter,
        asked_delay=delay,
        count=count,
    )


def describe(error: BaseException) -> str:
    """Return the traceback of an error as text that every database stores."""
    try:
        lines = traceback.format_exception(error)
    except BaseException as broken:  # user code: __str__ of the exception
        lines = [f"{said(error)} (its traceback cannot be formatted: {said(broken)})"]
    return clean(cut_middle("".join(lines), TRACEBACK_LENGTH))


def dotted_name(kind: type) -> str:
    """Return where a class is found: its module and its qualified name."""
    # Past a metaclass that has attributes of its own.
    name, module = (type.__dict__[one].__get__(kind) for one in ("__qualname__", "__module__"))
    return clean(f"{module}.{name}")[:ERROR_TYPE_LENGTH]


def message_of(error: BaseException) -> str:
    """Return the text of an error as every database stores it; "" when it cannot be shown."""
    try:
        return clean(cut_middle(str(error), MESSAGE_LENGTH))
    except BaseException:  # user code: __str__ of the exception
        return ""
