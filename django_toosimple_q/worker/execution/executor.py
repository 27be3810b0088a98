"""Run one claimed call and say what came of it. Never touches the store."""

import decimal
import os
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync

from django_toosimple_q import code_version, conf, frames, payload, signals
from django_toosimple_q.exceptions import (
    ResultNotStored,
    TaskInterrupted,
    TaskTimeout,
    TransactionLeftOpen,
    UnknownTask,
    said,
)
from django_toosimple_q.execution import Claimed, Outcome, running
from django_toosimple_q.failure import NOT_BEGUN, failure, not_begun
from django_toosimple_q.models import PREVIEW_LENGTH, TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.task import Task
from django_toosimple_q.text import clean, shortened
from django_toosimple_q.worker.execution.deadline import Slot
from django_toosimple_q.worker.execution.isolation import Isolation
from django_toosimple_q.worker.execution.output import Output, captured
from django_toosimple_q.worker.execution.request_state import close_caches

States = TaskExec.States
# Plain, since for each task it is compared with and stored.
SUCCEEDED, INVALID = States.SUCCEEDED.value, States.INVALID.value

# How a process exits that a task has forked and that comes back from its code.
FORKED = 70


def execute(
    claimed: Claimed,
    now: Callable[[], datetime],
    slot: Slot,
    isolation: Isolation | None = None,
    context: Context | None = None,
) -> Outcome:
    """Run a call in a slot and return its outcome, whatever it raises, prints or returns.

    `isolation` is what the thread is put back to; by default what it is now. `context` is the one
    that user code runs in; by default a copy of the caller's.
    """
    task = tasks_registry.get(claimed.task_name)
    if task is None:
        return not_begun(claimed, UnknownTask(claimed.task_name))
    if claimed.expires is not None and claimed.expires <= now():
        return _expired(claimed, now())

    isolation = isolation or Isolation()
    started = now()
    context = context or copy_context()
    outcome, output = context.run(_capture, task, claimed, slot, isolation)
    left_open = isolation.restore(interrupted=slot.struck)
    if left_open and outcome.state == SUCCEEDED:
        left = TransactionLeftOpen("it left a transaction open, now rolled back")
        outcome = with_exception(failure(task, claimed, left), left)
    outcome.finished = now()
    if outcome.state == INVALID:
        return outcome
    outcome.started = started
    outcome.stdout = output.text("stdout")
    outcome.stderr = output.text("stderr")
    if output.records is not None:
        outcome.log_records = output.records.text()
    return outcome


def _capture(
    task: Task[Any, Any], claimed: Claimed, slot: Slot, isolation: Isolation
) -> tuple[Outcome, Output]:
    """Run user code; return its outcome, and what it has printed."""
    with captured() as output:
        claimed.output = output
        outcome = _run(task, claimed, slot, isolation)
        # The outcome has all of it.
        claimed.output = None
        if isolation.process.caches_close:
            close_caches()
    return outcome, output


def _run(
    task: Task[Any, Any],
    claimed: Claimed,
    slot: Slot,
    isolation: Isolation,
) -> Outcome:
    """Run user code, in a context of its own; everything that it raises is caught here."""
    running.set(claimed)
    # A context is copied with what it refers to, and code changes that of `decimal` in place.
    decimal.setcontext(isolation.process.decimal.copy())
    opened = False
    try:
        with slot.user_code(claimed.timeout):
            # Opening them runs the constructors of user classes.
            args, kwargs = claimed.arguments()
            if claimed.code_version != code_version.own():
                # Who queued it has compared them with the parameters that its code has.
                task.bind(tuple(args), kwargs)
            opened = True
            value = call(task, claimed, args, kwargs)
            sealed, preview = store_result(task, value)
    except BaseException as error:
        if not opened and issubclass(type(error), NOT_BEGUN):
            return not_begun(claimed, error)
        return with_exception(failure(task, claimed, error), error)
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
    """Return the sealed result and its preview. Raises `ResultNotStored`.

    Packing is a part of the task: what cuts that off cuts this off, and is not the result's fault.
    """
    if value is None:
        return None, None
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    try:
        sealed = payload.seal(value, "result", task.name)
    except (TaskInterrupted, TaskTimeout):
        raise
    except BaseException as error:  # user code: __reduce__ of the result
        raise ResultNotStored(f"result of type {kind} cannot be stored: {said(error)}") from error
    largest = conf.get("TOOSIMPLEQ_MAX_RESULT")
    if len(sealed) > largest:
        raise ResultNotStored(
            f"result of type {kind} cannot be stored: {len(sealed)} characters are more than "
            f"TOOSIMPLEQ_MAX_RESULT = {largest}. Store it in a model or file and return its id"
        )
    return sealed, shortened(preview_of(value, kind), PREVIEW_LENGTH)


def preview_of(value: Any, kind: str) -> str:
    """Return what a result is shown as, which costs none that is stored its success."""
    try:
        # Exactly a text: __str__ may return one of a class that has its own ideas of a slice.
        return clean(str.__str__(str(value)))
    except (TaskInterrupted, TaskTimeout):
        raise
    except BaseException as error:  # user code, or an integer of more digits than Python writes
        return clean(f"<a {kind} that cannot be shown: {said(error)}>")


def with_exception(outcome: Outcome, error: BaseException) -> Outcome:
    """Return an outcome that carries its exception; a variable in `_run` would be a cycle."""
    frames.without_own(error)
    outcome.exception = error
    return outcome


def _expired(claimed: Claimed, now: datetime) -> Outcome:
    return Outcome(
        States.INTERRUPTED,
        finished=now,
        error=f"expired: it was to start before {claimed.expires:%Y-%m-%d %H:%M:%S %Z}".strip(),
    )
