"""Run one claimed call and say what came of it. Never touches the store."""

import os
import traceback
from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync

from django_toosimple_q import conf, payload, signals
from django_toosimple_q.exceptions import (
    Cancel,
    Retry,
    TaskInterrupted,
    TaskTimeout,
    UnreadablePayload,
)
from django_toosimple_q.execution import Claimed, Outcome, running
from django_toosimple_q.models import PREVIEW_LENGTH, TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.retry import NextAttempt, next_attempt
from django_toosimple_q.task import Task
from django_toosimple_q.worker.boundary import Boundary
from django_toosimple_q.worker.capture import captured, clean, cut_middle
from django_toosimple_q.worker.deadline import Slot

States = TaskExec.States
# Plain, since for each task it is compared with and stored.
SUCCEEDED = States.SUCCEEDED.value

TRACEBACK_LENGTH = 64 * 1024
# How a process exits that a task has forked and that comes back from its code.
FORKED = 70


class Unstorable(Exception):
    """A result that cannot be stored: the work was done, so by default it is not done again."""


class LeftOpen(Exception):
    """A task that returned inside a transaction: what it wrote there is gone."""


def execute(
    claimed: Claimed,
    now: Callable[[], datetime],
    slot: Slot,
    boundary: Boundary | None = None,
) -> Outcome:
    """Run a call in a slot and return its outcome, whatever it raises, prints or returns.

    `boundary` is what the thread is put back to; by default what it is now.
    """
    task = tasks_registry.get(claimed.task_name)
    if task is None:
        return Outcome(States.INVALID)
    if claimed.expires is not None and claimed.expires <= now():
        return _expired(claimed, now())
    try:
        args, kwargs = claimed.arguments()
    except UnreadablePayload as error:
        return Outcome(States.INVALID, finished=now(), error=clean(str(error)))

    boundary = boundary or Boundary()
    started = now()
    with captured() as output:
        outcome = copy_context().run(_run, task, claimed, slot, args, kwargs)
    left_open = boundary.restore(cut_off=slot.struck)
    if left_open and outcome.state == SUCCEEDED:
        outcome = failure(task, claimed, LeftOpen("it left a transaction open, now rolled back"))
    outcome.started = started
    outcome.finished = now()
    outcome.stdout = output.text("stdout")
    outcome.stderr = output.text("stderr")
    return outcome


def _run(
    task: Task[Any, Any],
    claimed: Claimed,
    slot: Slot,
    args: list[Any],
    kwargs: dict[str, Any],
) -> Outcome:
    """Run user code, in a context of its own; everything that it raises is caught here."""
    running.set(claimed)
    try:
        with slot.user_code(claimed.timeout):
            value = call(task, claimed, args, kwargs)
            sealed, preview = store_result(task, value)
    except BaseException as error:
        return failure(task, claimed, error)
    return Outcome(SUCCEEDED, result=sealed, result_preview=preview)


def call(task: Task[Any, Any], claimed: Claimed, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call the task's function; a coroutine function runs to its end in this thread.

    A process that the task forked ends here at once: it would go on as a second worker.
    """
    pid = os.getpid()
    try:
        if task.is_async:
            return async_to_sync(task.func)(*args, **kwargs)
        return task.func(*args, **kwargs)
    finally:
        if os.getpid() != pid:
            try:
                signals.task_forked.send_robust(sender=Task, claimed=claimed, parent_pid=pid)
            finally:
                os._exit(FORKED)


def store_result(task: Task[Any, Any], value: Any) -> tuple[str | None, str | None]:
    """Return the sealed result and its preview. Raises `Unstorable`.

    Packing is a part of the task: what cuts that off cuts this off, and is not the result's fault.
    """
    if value is None:
        return None, None
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    try:
        sealed = payload.seal(value, "result", task.name)
        preview = clean(str(value))
    except (TaskInterrupted, TaskTimeout):
        raise
    except BaseException as error:  # user code: __reduce__ and __str__ of the result
        raise Unstorable(
            f"result of type {kind} cannot be stored: {type(error).__name__}: {error}"
        ) from error
    largest = conf.get("TOOSIMPLEQ_MAX_RESULT")
    if len(sealed) > largest:
        raise Unstorable(
            f"result of type {kind} cannot be stored: {len(sealed)} characters are more than "
            f"TOOSIMPLEQ_MAX_RESULT = {largest}. Store it in a model or file and return its id"
        )
    return sealed, shortened(preview)


def failure(task: Task[Any, Any], claimed: Claimed, error: BaseException) -> Outcome:
    """Return the outcome of a call that raised."""
    if isinstance(error, TaskInterrupted):
        kept = claimed.hold or task.holds
        reason = describe(error)
        if kept:
            reason = f"{reason.rstrip()}; held for a person to decide"
        return Outcome(States.INTERRUPTED, error=reason, replaced=not kept)
    if isinstance(error, Unstorable):
        again = retried(task, claimed, error) if conf.get("TOOSIMPLEQ_RETRY_UNSTORABLE") else None
        return Outcome(States.FAILED, error=clean(str(error)), next_attempt=again)
    if isinstance(error, Cancel):
        return Outcome(States.FAILED, error=describe(error))
    return Outcome(
        States.FAILED,
        error=describe(error),
        next_attempt=retried(task, claimed, error),
        timed_out=isinstance(error, TaskTimeout),
    )


def retried(task: Task[Any, Any], claimed: Claimed, error: BaseException) -> NextAttempt | None:
    """Return the attempt that follows a failure, or None."""
    if isinstance(error, Retry):
        delay, count = error.delay_seconds, error.count
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
        lines = [
            f"{type(error).__name__} (its traceback cannot be formatted: {type(broken).__name__})"
        ]
    return clean(cut_middle("".join(lines), TRACEBACK_LENGTH))


def shortened(preview: str) -> str:
    """Return at most 255 characters, ending in "…" when something was cut."""
    return preview if len(preview) <= PREVIEW_LENGTH else f"{preview[: PREVIEW_LENGTH - 1]}…"


def _expired(claimed: Claimed, now: datetime) -> Outcome:
    return Outcome(
        States.INTERRUPTED,
        finished=now,
        error=f"expired: it was to start before {claimed.expires:%Y-%m-%d %H:%M:%S %Z}".strip(),
    )
