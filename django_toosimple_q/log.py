"""The only source of log lines: receivers of this package's signals, logger "toosimpleq"."""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

from django_toosimple_q import signals
from django_toosimple_q.schedule import SKIPPED_COUNTED

logger = logging.getLogger("toosimpleq")

# After a change of SECRET_KEY thousands of payloads cannot be opened, all for one reason: the first
# few of a minute are told with their ids, and that there are more.
UNREADABLE_TOLD = 3
UNREADABLE_SECONDS = 60.0


class Burst:
    """Counts what happens within a while that begins with the first of it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start_over()

    def start_over(self) -> None:
        """Let the next one begin a while."""
        self.since, self.count = -self.seconds, 0

    def add(self, now: float) -> int:
        """Count one more by the monotonic clock; return how many that makes in this while."""
        if now - self.since >= self.seconds:
            self.since, self.count = now, 0
        self.count += 1
        return self.count


unreadable = Burst(UNREADABLE_SECONDS)


def connect() -> None:
    """Connect the receivers: when the app is ready, and again once a level was chosen."""
    receivers: dict[Signal, Callable[..., None]] = {
        signals.task_finished: on_task_finished,
        signals.outcome_dropped: on_outcome_dropped,
        signals.task_stuck: on_task_stuck,
        signals.task_forked: on_task_forked,
        signals.task_rescued: on_task_rescued,
        signals.tasks_handed_back: on_tasks_handed_back,
        signals.strays_handed_back: on_strays_handed_back,
        signals.schedule_advanced: on_schedule_advanced,
        signals.schedule_gone: on_schedule_gone,
        signals.unknown_task: on_unknown_task,
        signals.worker_started: on_worker_started,
        signals.worker_restored: on_worker_restored,
        signals.worker_stopping: on_worker_stopping,
        signals.worker_stopped: on_worker_stopped,
        signals.child_hung: on_child_hung,
        signals.clock_set: on_clock_set,
        signals.child_died: on_child_died,
        signals.database_lost: on_database_lost,
        signals.database_busy: on_database_busy,
        signals.database_silent: on_database_silent,
        signals.database_refused: on_database_refused,
        signals.database_back: on_database_back,
    }
    if logger.isEnabledFor(logging.DEBUG):
        # Sent for each task: nobody listens who would not write.
        receivers[signals.task_started] = on_task_started
    for signal, receiver in receivers.items():
        signal.connect(receiver, dispatch_uid=f"toosimpleq_log_{receiver.__name__}")


def on_task_started(claimed: Any, **kwargs: Any) -> None:
    logger.debug("task started: task=%s name=%s", claimed.pk, claimed.task_name)


def on_task_finished(claimed: Any, outcome: Any, **kwargs: Any) -> None:
    level = _level(outcome)
    if not logger.isEnabledFor(level):
        return
    seconds = (outcome.finished - outcome.started).total_seconds() if outcome.started else 0
    fields = (claimed.pk, claimed.task_name, outcome.state, seconds)
    if level == logging.INFO:
        logger.info("task finished: task=%s name=%s state=%s seconds=%.3f", *fields)
    else:
        reason = _said(outcome.error) or "its task is not registered"
        logger.log(
            level, "task finished: task=%s name=%s state=%s seconds=%.3f error=%s", *fields, reason
        )


def on_outcome_dropped(claimed: Any, replaced_by: Any = None, **kwargs: Any) -> None:
    fate = f"it was replaced by {replaced_by}" if replaced_by else "it was settled meanwhile"
    logger.warning("outcome of task %s dropped: %s: name=%s", claimed.pk, fate, claimed.task_name)


def on_task_stuck(claimed: Any, error: Any, stack: str, **kwargs: Any) -> None:
    logger.error(
        "task does not stop, so its process will: task=%s name=%s error=%s\n%s",
        claimed.pk,
        claimed.task_name,
        error,
        stack,
    )


def on_task_forked(claimed: Any, parent_pid: int, **kwargs: Any) -> None:
    logger.critical(
        "task forked and came back in the child, which ends here: task=%s name=%s worker_pid=%s",
        claimed.pk,
        claimed.task_name,
        parent_pid,
    )


def on_task_rescued(rescue: Any, label: str, **kwargs: Any) -> None:
    level = logging.ERROR if rescue.state == "FAILED" else logging.WARNING
    fate = f"replaced by {rescue.replaced_by}" if rescue.replaced_by else rescue.state.lower()
    logger.log(
        level, "worker %s died; task %s %s: name=%s", label, rescue.task_id, fate, rescue.task_name
    )


def on_tasks_handed_back(label: str, count: int, **kwargs: Any) -> None:
    logger.info("worker %s died; tasks that had not begun wait again: count=%s", label, count)


def on_strays_handed_back(sender: Any, count: int, **kwargs: Any) -> None:
    logger.info("claimed without an answer, tasks wait again: label=%s count=%s", sender, count)


def on_schedule_advanced(
    schedule: Any, occurrences: Any, skipped: int, more: bool, continued: bool, **kwargs: Any
) -> None:
    missed = f" skipped={skipped}{' or more' if skipped >= SKIPPED_COUNTED else ''}"
    # A long catch-up is one event, however many batches it takes.
    logger.log(
        logging.DEBUG if continued else logging.INFO,
        "schedule queued: schedule=%s occurrences=%s latest=%s%s%s",
        schedule.name,
        len(occurrences),
        occurrences[-1].isoformat(),
        missed if skipped else "",
        " more=yes" if more else "",
    )


def on_schedule_gone(name: str, **kwargs: Any) -> None:
    logger.warning("schedule is gone from the code, its row becomes INVALID: schedule=%s", name)


def on_unknown_task(name: str, left: bool, **kwargs: Any) -> None:
    fate = "left to a worker that knows it" if left else "its rows become INVALID"
    logger.warning("no task is registered under the name %r: %s", name, fate)


def on_worker_started(sender: Any, options: Any, **kwargs: Any) -> None:
    unreadable.start_over()
    queues = ",".join(options.queues) or "all"
    logger.info(
        "worker started: label=%s queues=%s excluded=%s tick=%g timeout=%g",
        sender,
        queues,
        ",".join(options.excluded_queues) or "none",
        options.tick,
        options.timeout,
    )


def on_worker_restored(sender: Any, **kwargs: Any) -> None:
    logger.warning("worker's row was deleted, it is back with its tasks: label=%s", sender)


def on_worker_stopping(sender: Any, reason: str, running: Any, **kwargs: Any) -> None:
    names = ",".join(f"{one.task_name}:{one.pk}" for one in running)
    waits = f" waiting_for={names}" if names else ""
    logger.critical("worker stopping: label=%s reason=%s%s", sender, reason, waits)


def on_worker_stopped(sender: Any, exit_code: int, exit_log: str, **kwargs: Any) -> None:
    if exit_code == 99:
        logger.critical("worker crashed: label=%s\n%s", sender, exit_log)
    else:
        logger.info("worker stopped: label=%s exit_code=%s", sender, exit_code)


def on_child_hung(pid: int, **kwargs: Any) -> None:
    logger.error("worker process hangs in C code and is ended: pid=%s", pid)


def on_clock_set(sender: Any, off: Any, astray: bool, **kwargs: Any) -> None:
    if astray:
        logger.warning(
            "clock of this host is off by %.1f s, the database's counts: label=%s",
            off.total_seconds(),
            sender,
        )
    else:
        logger.info("clock of this host is right again: label=%s", sender)


def on_child_died(pid: int, code: int, again_in: float, **kwargs: Any) -> None:
    logger.error(
        "worker process died: pid=%s exit_code=%s started_again_in=%.0fs", pid, code, again_in
    )


def on_database_lost(sender: Any, error: Any, **kwargs: Any) -> None:
    reason = str(error).strip().split("\n", 1)[0]
    logger.warning("database lost, trying again: label=%s error=%s", sender, reason)


def on_database_busy(error: Any, failures: int, seconds: float, **kwargs: Any) -> None:
    reason = str(error).strip().split("\n", 1)[0]
    logger.warning(
        "database is busy, trying again: failures=%s seconds=%.1f error=%s",
        failures,
        seconds,
        reason,
    )


def on_database_silent(sender: Any, seconds: float, **kwargs: Any) -> None:
    logger.warning("database does not answer, waiting: label=%s seconds=%.1f", sender, seconds)


def on_database_refused(sender: Any, error: Any, **kwargs: Any) -> None:
    reason = str(error).strip().split("\n", 1)[0]
    logger.error("database takes no writes, outcomes wait: label=%s error=%s", sender, reason)


def on_database_back(sender: Any, seconds: float, **kwargs: Any) -> None:
    logger.info("database back: label=%s seconds=%.1f", sender, seconds)


def _level(outcome: Any) -> int:
    if outcome.state == "SUCCEEDED":
        return logging.INFO
    if outcome.state != "INVALID":
        return logging.WARNING
    # A name that is not registered was told of already, once for all its rows.
    return _level_of_unreadable() if outcome.error else logging.DEBUG


def _level_of_unreadable() -> int:
    # A payload that cannot be opened is no task's failure: somebody has to look.
    count = unreadable.add(time.monotonic())
    if count == UNREADABLE_TOLD + 1:
        logger.error(
            "more payloads cannot be opened: for %g s they are told at debug level only, "
            "each row has its reason",
            UNREADABLE_SECONDS,
        )
    return logging.ERROR if count <= UNREADABLE_TOLD else logging.DEBUG


def _said(error: str | None) -> str:
    """Return the line of a traceback that says what it was: the last one that is not indented."""
    lines = [line for line in (error or "").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line[0] != " "), lines[-1] if lines else "")
