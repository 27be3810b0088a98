"""The tables: calls, schedules, workers, and those of the modules beside this one."""

from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import code_version
from django_toosimple_q.arguments import arguments_preview
from django_toosimple_q.execution import Cancellation
from django_toosimple_q.fields import (
    ERROR_TYPE_LENGTH,
    MomentField,
    NumberField,
    PayloadQuerySet,
    SignedPickledField,
    WholeNumberField,
)
from django_toosimple_q.figure_models import BulkRun, Dismissal, Minute
from django_toosimple_q.indexes import SparseIndex, SparseUnique, StateIndex
from django_toosimple_q.masking import arguments_of
from django_toosimple_q.moments import aware, current_moment
from django_toosimple_q.progress import LONGEST_MESSAGE
from django_toosimple_q.queue_models import ConcurrencyKey, QueueStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.schedule_models import ScheduleExec
from django_toosimple_q.task import Task

__all__ = [
    "BulkRun",
    "ConcurrencyKey",
    "Dismissal",
    "Minute",
    "QueueStatus",
    "ScheduleExec",
    "TaskExec",
    "WorkerStatus",
]

PREVIEW_LENGTH = 255
CODE_VERSION_LENGTH = code_version.LENGTH
# A traceparent (55), a space and the 512 characters of a tracestate that everyone has to pass on.
TRACE_CONTEXT_LENGTH = 568

if not apps.is_installed("django_toosimple_q"):
    raise ImproperlyConfigured(
        "django_toosimple_q is not in INSTALLED_APPS. Add it, then run `manage.py migrate`."
    )


class TaskExec(models.Model):
    """One planned, running or past call of a task; each attempt is a row of its own."""

    class States(models.TextChoices):
        SLEEPING = "SLEEPING", _("Sleeping")
        QUEUED = "QUEUED", _("Queued")
        PROCESSING = "PROCESSING", _("Processing")
        SUCCEEDED = "SUCCEEDED", _("Succeeded")
        INTERRUPTED = "INTERRUPTED", _("Interrupted")
        FAILED = "FAILED", _("Failed")
        INVALID = "INVALID", _("Invalid")

        @classmethod
        def todo(cls) -> list[str]:
            """Return the states of rows that still have something ahead of them."""
            return [cls.SLEEPING.value, cls.QUEUED.value, cls.PROCESSING.value]

        @classmethod
        def done(cls) -> list[str]:
            """Return the states of rows that nothing happens to any more."""
            return [state.value for state in cls if state.value not in cls.todo()]

    task_name = models.CharField(max_length=255)
    args = SignedPickledField(default=list)
    kwargs = SignedPickledField(default=dict)
    queue = models.CharField(max_length=255, default="", db_default="default")
    priority = WholeNumberField(default=0, db_default=0, help_text=_("Larger numbers run first."))
    retries = WholeNumberField(default=0, help_text=_("Attempts left; -1 is for ever."))
    retry_delay = WholeNumberField(default=0, help_text=_("Seconds before the next attempt."))
    attempt = WholeNumberField(default=1, db_default=1)
    root = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
        related_name="+",
        help_text=_("The first attempt; empty on the first attempt itself."),
    )
    replaced_by = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.SET_NULL,
        related_name="replaces",
    )
    crash_count = WholeNumberField(
        default=0, db_default=0, help_text=_("How many workers crashed while running it.")
    )
    unique_key = models.CharField(
        max_length=64, null=True, editable=False, help_text=_("Set while it waits.")
    )
    unique_hash = models.CharField(max_length=64, default="", db_default="", editable=False)
    exclusive = models.BooleanField(default=False, db_default=False, editable=False)
    timeout = NumberField(null=True, blank=True, help_text=_("Seconds it may run."))
    expires = MomentField(null=True, blank=True)
    cancelled = MomentField(null=True, blank=True)
    concurrency_key = models.CharField(max_length=255, default="", db_default="", editable=False)
    awaited = models.BooleanField(default=False, db_default=False, editable=False)
    hold = models.BooleanField(default=False, db_default=False, editable=False)
    code_version = models.CharField(
        max_length=CODE_VERSION_LENGTH,
        default="",
        db_default="",
        editable=False,
        help_text=_("The code that queued it."),
    )
    refused_by = models.CharField(
        max_length=255,
        default="",
        db_default="",
        editable=False,
        help_text=_("The versions of the code that could not begin it."),
    )
    # What lists show and search; the payload is opened for one row only.
    arguments_preview = models.CharField(
        max_length=PREVIEW_LENGTH,
        default="",
        db_default="",
        editable=False,
        help_text=_("The beginning of its arguments."),
    )

    # The W3C trace context of the code that queued it, if calls are traced.
    trace_context = models.CharField(max_length=TRACE_CONTEXT_LENGTH, null=True, editable=False)

    due = MomentField(default=timezone.now)
    created = MomentField(default=timezone.now)
    started = MomentField(null=True, blank=True)
    finished = MomentField(null=True, blank=True)
    state = models.CharField(max_length=32, choices=States.choices, default=States.QUEUED)
    worker = models.ForeignKey(
        "WorkerStatus",
        null=True,
        blank=True,
        # A constraint would make every claim take a lock on the worker's row, which its
        # heartbeat then waits for (InnoDB). Forgetting a worker that ran a million tasks must not
        # rewrite a million rows: they keep its id.
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
    )
    result = SignedPickledField(null=True)
    result_preview = models.CharField(max_length=PREVIEW_LENGTH, null=True, blank=True)
    error = models.TextField(null=True, blank=True)
    error_type = models.CharField(
        max_length=ERROR_TYPE_LENGTH,
        default="",
        db_default="",
        blank=True,
        help_text=_("The dotted name of the exception class."),
    )
    error_message = models.TextField(default="", db_default="", blank=True)
    stdout = models.TextField(default="", db_default="", blank=True)
    stderr = models.TextField(default="", db_default="", blank=True)
    # Without a value until a task reports one, so that no other call writes or stores any of them.
    progress_done = NumberField(null=True, blank=True)
    progress_total = NumberField(null=True, blank=True)
    progress_message = models.CharField(max_length=LONGEST_MESSAGE, null=True, blank=True)
    log_records = models.TextField(
        null=True, blank=True, help_text=_("What it has logged, as JSON.")
    )
    output_tail = models.TextField(
        null=True, blank=True, help_text=_("The end of what it has printed while it ran.")
    )

    objects = PayloadQuerySet.as_manager()

    class Meta:
        verbose_name = _("Task Execution")
        verbose_name_plural = _("Task Executions")
        permissions = [
            ("requeue_taskexec", "Can requeue tasks"),
            ("cancel_taskexec", "Can cancel tasks"),
            ("reschedule_taskexec", "Can change priority, queue and due date of waiting tasks"),
            ("run_taskexec", "Can run tasks with other arguments"),
        ]
        # While a unique call waits, the database itself refuses a second one.
        constraints = [SparseUnique("unique_key", name="toosimpleq_unique")]
        indexes = [
            StateIndex(
                *("queue", "concurrency_key", "-priority", "due", "id"),
                states=["QUEUED"],
                name="toosimpleq_claim",
            ),
            StateIndex("due", states=["SLEEPING"], name="toosimpleq_wake"),
            StateIndex("worker", states=["PROCESSING"], name="toosimpleq_rescue"),
            StateIndex(
                "state",
                "finished",
                states=["SUCCEEDED", "INTERRUPTED", "FAILED", "INVALID"],
                name="toosimpleq_prune",
            ),
            SparseIndex("root", name="toosimpleq_root"),
            SparseIndex("replaced_by", name="toosimpleq_replaced_by"),
        ]

    def __str__(self) -> str:
        return f"{self.task_name} [{self.state}]"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row; one made by hand takes its queue and priority from its task."""
        if self._state.adding and not self.queue:
            self.queue = self.task.queue_name if self.task else "default"
            self.priority = self.priority or (self.task.priority if self.task else 0)
        given, named = self.__dict__.get("args"), self.__dict__.get("kwargs")
        if self._state.adding and isinstance(given, list) and isinstance(named, dict):
            shown = arguments_of(self)
            self.arguments_preview = self.arguments_preview or arguments_preview(*shown)
        super().save(*args, **kwargs)

    def cancel(self, reason: str = "cancelled") -> Cancellation:
        """Cancel the call, and return what that achieved; false when it has ended already.

        CANCELLED: it waited. It is INTERRUPTED with `reason` as its error and never begins.
        ASKED: a worker has claimed it. One that has not begun is let go and becomes INTERRUPTED.
        For one that runs `current_task().interrupted` becomes true; it ends when its task checks
        that. It has no further attempt. Workers hear of it at once on PostgreSQL, else at their
        next heartbeat. `wait_done()` tells how it ended.
        TOO_LATE: it has ended.
        """
        from django_toosimple_q.store import task_execs

        found = task_execs.cancel(self.pk, reason, current_moment())
        # A replica may not have the change yet.
        database = router.db_for_write(type(self))
        self.refresh_from_db(database, fields=["state", "error", "finished", "cancelled"])
        return found

    def wait_done(self, timeout: float | None = None) -> "TaskExec | None":
        """Wait until the call has ended, and return its last attempt; None after `timeout` seconds.

        Follows retries and replacements. PostgreSQL and Redis announce the end; elsewhere it polls.
        Warns (RuntimeWarning) inside a transaction, which may hide the row from the workers or its
        end from the caller, and inside a task, which occupies the worker that the other may need.
        Raises `ResultGone` when the row was deleted meanwhile.
        """
        from django_toosimple_q import waiting

        return waiting.wait_done(self.pk, timeout)

    async def await_done(self, timeout: float | None = None) -> "TaskExec | None":
        """Wait from async code; see `wait_done`."""
        from django_toosimple_q import waiting

        return await waiting.await_done(self.pk, timeout)

    @property
    def task(self) -> Task[Any, Any] | None:
        """Return the registered task, or None when the code no longer has it."""
        return tasks_registry.get(self.task_name)


class WorkerStatus(models.Model):
    """A worker process, alive or not."""

    class States(models.TextChoices):
        ONLINE = "ONLINE", _("Online")
        STOPPED = "STOPPED", _("Stopped")
        TERMINATED = "TERMINATED", _("Terminated")
        CRASHED = "CRASHED", _("Crashed")
        TIMEDOUT = "TIMEDOUT", _("Timed out")

    class ExitCodes(models.IntegerChoices):
        STOPPED = 0, _("Stopped")
        TERMINATED = 77, _("Terminated")
        CRASHED = 99, _("Crashed")

    label = models.CharField(max_length=255, unique=True)
    included_queues = models.JSONField(default=list)
    excluded_queues = models.JSONField(default=list)
    timeout = models.DurationField(default=timedelta(hours=1))
    last_tick = MomentField(default=timezone.now)
    started = MomentField(default=timezone.now)
    stopped = MomentField(null=True, blank=True)
    exit_code = WholeNumberField(choices=ExitCodes.choices, null=True, blank=True)
    exit_log = models.TextField(null=True, blank=True)
    incarnation = models.CharField(max_length=32, default="", db_default="", editable=False)
    host = models.CharField(max_length=255, default="", db_default="", blank=True)
    pid = WholeNumberField(null=True, blank=True)
    # Where the process id is valid: several hosts may have one name.
    host_id = models.CharField(max_length=512, default="", db_default="", editable=False)
    rescued = MomentField(null=True, blank=True)
    clock_jumped = MomentField(
        null=True, blank=True, editable=False, help_text=_("When the clock last jumped ahead.")
    )
    tasks = models.JSONField(null=True, blank=True, help_text=_("Names of tasks it knows."))
    code_version = models.CharField(
        max_length=CODE_VERSION_LENGTH, default="", db_default="", blank=True
    )

    class Meta:
        verbose_name = _("Worker Status")
        verbose_name_plural = _("Worker Statuses")

    def __str__(self) -> str:
        return f"{self.label} [{self.state}]"

    @property
    def state(self) -> str:
        """Return the state, computed from what the worker last wrote."""
        if self.stopped is not None:
            ended = {
                self.ExitCodes.STOPPED: self.States.STOPPED,
                self.ExitCodes.TERMINATED: self.States.TERMINATED,
            }
            return ended.get(self.exit_code, self.States.CRASHED)  # type: ignore[call-overload]
        if self.rescued is not None or self.is_silent(current_moment()):
            return self.States.TIMEDOUT
        return self.States.ONLINE

    def is_silent(self, now: datetime) -> bool:
        """Return whether its last heartbeat is further from `now` than its timeout, either way.

        A clock that went back has left heartbeats that lie ahead.
        """
        return abs(now - aware(self.last_tick)) > self.timeout
