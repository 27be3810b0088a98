"""Check in with the monitor of a schedule when its call begins, and when it has ended for good."""

import uuid
from contextvars import ContextVar
from typing import Any

import sentry_sdk
from sentry_sdk.crons import capture_checkin

from django_toosimple_q import signals
from django_toosimple_q.contrib.sentry import monitors
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store import schedule_runs

# What makes the id of a check-in from that of a call, so that any worker can end it.
NAMESPACE = uuid.UUID("6f0d6f5c-7d0f-4d3c-9b52-0f2f1c9a7f11")
# How long a worker that ends waits for its last check-ins to be sent.
FLUSH_SECONDS = 5.0

# The schedule that has queued what runs in this context.
monitored: ContextVar[Schedule | None] = ContextVar("toosimpleq_monitored")


def connect() -> None:
    """Check in from now on. Twice does no harm."""
    signals.task_started.connect(begin)
    signals.task_finished.connect(end)
    signals.worker_stopped.connect(flush)


def disconnect() -> None:
    """Check in no more."""
    signals.task_started.disconnect(begin)
    signals.task_finished.disconnect(end)
    signals.worker_stopped.disconnect(flush)


def begin(claimed: Claimed, **kwargs: Any) -> None:
    """Report that a run of a schedule begins, once for all attempts."""
    schedule = _schedule_of(claimed)
    monitored.set(schedule)
    if schedule is not None and claimed.attempt == 1:
        _check_in(schedule, claimed, "in_progress")


def end(claimed: Claimed, outcome: Outcome, **kwargs: Any) -> None:
    """Report how a run of a schedule has ended, unless another attempt follows."""
    if outcome.next_attempt is not None or outcome.replaced:
        return
    try:
        schedule = monitored.get()
    except LookupError:
        # It does not stop, so another thread reports its end.
        schedule = _schedule_of(claimed)
    if schedule is None:
        return
    succeeded = outcome.state == TaskExec.States.SUCCEEDED
    _check_in(schedule, claimed, "ok" if succeeded else "error")


def flush(**kwargs: Any) -> None:
    """Send what waits to be sent: a process that a supervisor has forked ends without `atexit`."""
    sentry_sdk.flush(timeout=FLUSH_SECONDS)


def _schedule_of(claimed: Claimed) -> Schedule | None:
    """Return the schedule that has queued a call; None without one that has a monitor."""
    if not sentry_sdk.is_initialized():
        return None
    known = [
        schedule
        for schedule in schedules_registry.values()
        if schedule.task.name == claimed.task_name and monitors.is_supported(schedule)
    ]
    if not known:
        return None
    names = [schedule.name for schedule in known]
    name = schedule_runs.queued_by(claimed.root_id or claimed.pk, names)
    return schedules_registry.get(name) if name else None


def _check_in(schedule: Schedule, claimed: Claimed, status: str) -> None:
    call = f"{schedule.name} {claimed.root_id or claimed.pk}"
    capture_checkin(
        monitor_slug=monitors.slug(schedule),
        check_in_id=uuid.uuid5(NAMESPACE, call).hex,
        status=status,
        monitor_config=monitors.config(schedule),
    )
