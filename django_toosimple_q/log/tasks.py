"""Lines about calls and schedules."""

import logging
import time
from typing import Any

from django_toosimple_q import code_version
from django_toosimple_q.exceptions import Cancel, RowGone
from django_toosimple_q.failure import UNKNOWN
from django_toosimple_q.log.write import Burst, is_enabled, write
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.schedule import SKIPPED_COUNTED
from django_toosimple_q.text import first_line, named

# After a change of SECRET_KEY thousands of payloads cannot be opened, all for one reason: of a
# minute the first few are logged with their ids, then one line says that there are more.
UNREADABLE_LOGGED = 3
UNREADABLE_SECONDS = 60.0

unreadable = Burst(UNREADABLE_SECONDS)


def on_task_started(claimed: Any, **kwargs: Any) -> None:
    line = "task started: task=%s name=%s"
    write(logging.DEBUG, line, claimed.pk, claimed.task_name, **call(claimed, **kwargs))


def on_task_finished(claimed: Any, outcome: Any, **kwargs: Any) -> None:
    level = _level(claimed, outcome)
    if not is_enabled(level):
        return
    state = str(outcome.state)
    seconds = (outcome.finished - outcome.started).total_seconds() if outcome.started else 0
    values = (claimed.pk, claimed.task_name, state, seconds)
    fields = call(claimed, **kwargs) | {"state": state, "duration": seconds}
    shown = "task=%s name=%s state=%s seconds=%.3f"
    if outcome.state == "SUCCEEDED":
        write(level, f"task finished: {shown}", *values, **fields)
        return
    shown = f"{shown} error=%s"
    fields["error"] = reason = _reason(outcome)
    if outcome.state != "FAILED":
        write(level, f"task finished: {shown}", *values, reason, **fields)
    elif outcome.next_attempt is not None:
        retry = _retry(claimed, outcome)
        write(level, f"task failed, %s: {shown}", retry, *values, reason, **fields)
    elif _gave_up(claimed, outcome):
        write(level, f"task gave up: {shown}", *values, reason, **fields)
    else:
        error = outcome.exception
        write(level, f"task failed: {shown}", *values, reason, exception=error, **fields)


def on_outcome_refused(claimed: Any, outcome: Any, error: Any, **kwargs: Any) -> None:
    line = "the database refused an outcome, which is FAILED now: task=%s name=%s error=%s"
    fields: dict[str, Any] = {"state": str(outcome.state), "error": named(error)}
    values = claimed.pk, claimed.task_name, fields["error"]
    write(logging.ERROR, line, *values, **call(claimed), **fields)


def on_row_set_aside(pk: int, error: str, **kwargs: Any) -> None:
    line = "row set aside: task=%s state=INVALID error=%s"
    write(logging.ERROR, line, pk, error, task=pk, state="INVALID", error=error)


def on_outcome_dropped(sender: Any, claimed: Any, replaced_by: Any = None, **kwargs: Any) -> None:
    fate = f"it was replaced by {replaced_by}" if replaced_by else "it was rescued meanwhile"
    write(
        logging.WARNING,
        "outcome of task %s dropped: %s: name=%s",
        claimed.pk,
        fate,
        claimed.task_name,
        **call(claimed, sender),
    )


def on_task_stuck(sender: Any, claimed: Any, error: Any, stack: str, **kwargs: Any) -> None:
    write(
        logging.ERROR,
        "task does not stop, so its process ends: task=%s name=%s error=%s",
        claimed.pk,
        claimed.task_name,
        named(error),
        below=stack,
        **call(claimed, sender),
        error=named(error),
    )


def on_task_forked(claimed: Any, parent_pid: int, **kwargs: Any) -> None:
    write(
        logging.CRITICAL,
        "task forked and returned in the child process, which ends now: "
        "task=%s name=%s worker_pid=%s",
        claimed.pk,
        claimed.task_name,
        parent_pid,
        **call(claimed),
    )


def on_task_rescued(rescue: Any, label: str, **kwargs: Any) -> None:
    level = logging.ERROR if rescue.state == "FAILED" else logging.WARNING
    fate = rescue.state.lower()
    if rescue.replaced_by:
        fate = f"replaced by {rescue.replaced_by}"
    elif rescue.state == "INTERRUPTED":
        fate = "held for a person to decide"
    line = "worker %s died; task %s %s: name=%s"
    fields = {"task": rescue.task_id, "task_name": rescue.task_name, "state": str(rescue.state)}
    write(level, line, label, rescue.task_id, fate, rescue.task_name, worker=label, **fields)


def on_tasks_released(label: str, count: int, **kwargs: Any) -> None:
    line = "worker %s died; released tasks that had not started: count=%s"
    write(logging.INFO, line, label, count, worker=label)


def on_stray_claims_released(sender: Any, count: int, **kwargs: Any) -> None:
    write(
        logging.INFO,
        "returned tasks to the queue: a claim was committed but its reply was lost: "
        "label=%s count=%s",
        sender,
        count,
        worker=sender,
    )


def on_schedule_advanced(
    schedule: Any, occurrences: Any, skipped: int, more: bool, continued: bool, **kwargs: Any
) -> None:
    missed = f" skipped={skipped}{' or more' if skipped >= SKIPPED_COUNTED else ''}"
    # A long catch-up is one event, however many batches it takes.
    write(
        logging.DEBUG if continued else logging.INFO,
        "schedule queued: schedule=%s occurrences=%s latest=%s%s%s",
        schedule.name,
        len(occurrences),
        occurrences[-1].isoformat(),
        missed if skipped else "",
        " more=yes" if more else "",
        schedule=schedule.name,
    )


def on_schedule_broken(schedule: Any, error: str, again: bool, **kwargs: Any) -> None:
    level = logging.DEBUG if again else logging.ERROR
    fields = {"schedule": schedule.name, "error": error}
    write(level, "schedule cannot be queued: name=%s error=%s", schedule.name, error, **fields)


def on_schedule_changed(schedule: Any, former: str, since: Any, **kwargs: Any) -> None:
    write(
        logging.INFO,
        "schedule has a new expression, which it follows from now on: "
        "name=%s former=%r new=%r since=%s",
        schedule.name,
        former,
        schedule.expression_text,
        f"{since:%Y-%m-%dT%H:%M:%SZ}",
    )


def on_schedule_set_back(schedule: Any, before: Any, after: Any, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "schedule had run until a moment that lies ahead, so the clock went back; it goes on: "
        "name=%s had_run_until=%s goes_on_after=%s",
        schedule.name,
        f"{before:%Y-%m-%dT%H:%M:%SZ}",
        f"{after:%Y-%m-%dT%H:%M:%SZ}",
    )


def on_schedule_gone(name: str, **kwargs: Any) -> None:
    write(
        logging.WARNING,
        "schedule is gone from the code, its row becomes INVALID: schedule=%s",
        name,
        schedule=name,
    )


def on_task_not_begun(sender: Any, claimed: Any, outcome: Any, left: bool, **kwargs: Any) -> None:
    fields = call(claimed, sender)
    if outcome.error_type == UNKNOWN:
        fate = "left to a worker that knows it" if left else "its rows become INVALID"
        line = "no task is registered under the name %r: %s"
        write(logging.WARNING, line, claimed.task_name, fate, **fields)
        return
    write(
        logging.WARNING,
        "this worker's code cannot begin the task, %s: "
        "task=%s name=%s queued_by_code=%s own_code=%s error=%s",
        "it is left to workers of other code" if left else "other code tries it when it starts",
        claimed.pk,
        claimed.task_name,
        claimed.code_version or "unknown",
        code_version.own(),
        _reason(outcome),
        **fields,
    )


def call(claimed: Any, worker: str = "", **kwargs: Any) -> dict[str, Any]:
    """Return the fields of a line about a call."""
    return {
        "task": claimed.pk,
        "task_name": claimed.task_name,
        "queue": claimed.queue,
        "attempt": claimed.attempt,
        "worker": worker,
    }


def _level(claimed: Any, outcome: Any) -> int:
    if outcome.state == "SUCCEEDED":
        return logging.INFO
    if outcome.state == "FAILED" and outcome.next_attempt is None:
        # One error for each failure: that of the framework counts as ours.
        return (
            logging.WARNING
            if claimed.logged_elsewhere or _gave_up(claimed, outcome)
            else logging.ERROR
        )
    if outcome.state != "INVALID":
        return logging.WARNING
    # An unknown name was reported already, once for all its rows.
    return logging.DEBUG if outcome.error_type == UNKNOWN else _level_of_unreadable()


def _level_of_unreadable() -> int:
    # A payload that cannot be opened is no failure of the task: a person has to check.
    count = unreadable.add(time.monotonic())
    if count == UNREADABLE_LOGGED + 1:
        write(
            logging.ERROR,
            "more payloads cannot be opened: for %g s they are logged at DEBUG only, "
            "each row has its reason",
            UNREADABLE_SECONDS,
        )
    return logging.ERROR if count <= UNREADABLE_LOGGED else logging.DEBUG


def _gave_up(claimed: Any, outcome: Any) -> bool:
    """Return whether a task has cancelled itself, which is what its code wants."""
    kind = type(outcome.exception)
    if not issubclass(kind, Cancel):
        return False
    task = tasks_registry.find(claimed)
    return kind is not RowGone or task is None or task.on_missing_row != "fail"


def _reason(outcome: Any) -> str:
    """Return why a run did not succeed: the exception and the first line of its text."""
    if outcome.exception is not None:
        return named(outcome.exception)
    if outcome.error_type:
        kind = outcome.error_type.removeprefix("builtins.")
        return f"{kind}: {first_line(outcome.error_message)}"
    return first_line(outcome.error or "")


def _retry(claimed: Any, outcome: Any) -> str:
    """Return which retry follows a failure, and when."""
    left = outcome.next_attempt.retries
    seconds = outcome.next_attempt.delay_seconds
    when = f"in {seconds:g} s" if seconds else "at once"
    if left < 0:
        return f"retry {claimed.attempt} {when}"
    task = tasks_registry.find(claimed)
    # The row may be older than the definition, and have had more.
    total = max(claimed.retries, 0 if task is None else task.retries)
    if left == claimed.retries:
        return f"runs again {when}, {left} of {total} retries left"
    return f"retry {total - left} of {total} {when}"
