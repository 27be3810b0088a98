"""The tables: what is and was queued, what schedules last did, who works, and what is held back."""

from datetime import timedelta
from typing import Any

from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.fields import SignedPickledField
from django_toosimple_q.indexes import SparseIndex, SparseUnique, StateIndex
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.task import Task

PREVIEW_LENGTH = 255


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

    ICONS = {
        States.SLEEPING: "💤",
        States.QUEUED: "⌚",
        States.PROCESSING: "🚧",
        States.SUCCEEDED: "✔️",
        States.INTERRUPTED: "🛑",
        States.FAILED: "❌",
        States.INVALID: "⚠️",
    }

    task_name = models.CharField(max_length=255)
    args = SignedPickledField(default=list)
    kwargs = SignedPickledField(default=dict)
    queue = models.CharField(max_length=255, default="", db_default="default")
    priority = models.IntegerField(
        default=0, db_default=0, help_text=_("Larger numbers run first.")
    )
    retries = models.IntegerField(default=0, help_text=_("Attempts left; -1 is for ever."))
    retry_delay = models.IntegerField(default=0, help_text=_("Seconds before the next attempt."))
    attempt = models.IntegerField(default=1, db_default=1)
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
    deaths = models.IntegerField(
        default=0, db_default=0, help_text=_("How many workers died while running it.")
    )
    unique_key = models.CharField(
        max_length=64, null=True, editable=False, help_text=_("Set while it waits.")
    )
    unique_hash = models.CharField(max_length=64, default="", db_default="", editable=False)
    alone = models.BooleanField(default=False, db_default=False, editable=False)
    timeout = models.FloatField(null=True, blank=True, help_text=_("Seconds it may run."))
    expires = models.DateTimeField(null=True, blank=True)
    cancelled = models.DateTimeField(null=True, blank=True)
    lane = models.CharField(max_length=255, default="", db_default="", editable=False)
    awaited = models.BooleanField(default=False, db_default=False, editable=False)
    hold = models.BooleanField(default=False, db_default=False, editable=False)

    due = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
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
    stdout = models.TextField(default="", db_default="", blank=True)
    stderr = models.TextField(default="", db_default="", blank=True)

    class Meta:
        verbose_name = _("Task Execution")
        verbose_name_plural = _("Task Executions")
        permissions = [("requeue_taskexec", "Can requeue tasks")]
        # While a unique call waits, the database itself refuses a second one.
        constraints = [SparseUnique("unique_key", name="toosimpleq_unique")]
        indexes = [
            StateIndex(
                *("queue", "lane", "-priority", "due", "id"),
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
        super().save(*args, **kwargs)

    def cancel(self, reason: str = "cancelled") -> bool:
        """Take the call back; False when it has ended already.

        One that waits becomes INTERRUPTED with `reason` as its error and never runs. One that runs
        is told through `current_task_exec().interrupted`, and ends when its task heeds that.
        """
        from django_toosimple_q.store import task_execs

        found = task_execs.cancel(self.pk, reason, timezone.now())
        # A replica may not have heard of it yet.
        written = router.db_for_write(type(self))
        self.refresh_from_db(written, fields=["state", "error", "finished", "cancelled"])
        return found is not None

    def wait_done(self, timeout: float | None = None) -> "TaskExec | None":
        """Wait until the call has ended, and return its last attempt; None after `timeout` seconds.

        Follows retries and replacements. Told by PostgreSQL or Redis, else by looking again and
        again. Warns (RuntimeWarning) inside a transaction, which may hide the row from workers or
        its end from here, and inside a task, which keeps a place that the other may need. Raises
        `ResultGone` when the row was deleted meanwhile.
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

    @property
    def icon(self) -> str:
        """Return one character that stands for the state."""
        return self.ICONS[self.States(self.state)]


class ScheduleExec(models.Model):
    """What a schedule last did: its latest occurrence and the row that came of it."""

    class States(models.TextChoices):
        ACTIVE = "ACTIVE", _("Active")
        INVALID = "INVALID", _("Invalid")

    ICONS = {States.ACTIVE: "🟢", States.INVALID: "⚠️"}

    name = models.CharField(max_length=255, unique=True)
    last_due = models.DateTimeField(null=True, blank=True)
    last_task = models.ForeignKey(TaskExec, null=True, blank=True, on_delete=models.SET_NULL)
    state = models.CharField(max_length=32, choices=States.choices, default=States.ACTIVE)

    class Meta:
        verbose_name = _("Schedule Execution")
        verbose_name_plural = _("Schedule Executions")
        permissions = [("force_run_scheduleexec", "Can force execution of schedules")]

    def __str__(self) -> str:
        return f"{self.name} [{self.state}]"

    @property
    def schedule(self) -> Schedule | None:
        """Return the registered schedule, or None when the code no longer has it."""
        return schedules_registry.get(self.name)

    @property
    def icon(self) -> str:
        """Return one character that stands for the state."""
        return self.ICONS[self.States(self.state)]


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

    ICONS = {
        States.ONLINE: "🟢",
        States.STOPPED: "⚪",
        States.TERMINATED: "🟠",
        States.CRASHED: "🔴",
        States.TIMEDOUT: "⚫",
    }

    label = models.CharField(max_length=255, unique=True)
    included_queues = models.JSONField(default=list)
    excluded_queues = models.JSONField(default=list)
    timeout = models.DurationField(default=timedelta(hours=1))
    last_tick = models.DateTimeField(default=timezone.now)
    started = models.DateTimeField(default=timezone.now)
    stopped = models.DateTimeField(null=True, blank=True)
    exit_code = models.IntegerField(choices=ExitCodes.choices, null=True, blank=True)
    exit_log = models.TextField(null=True, blank=True)
    incarnation = models.CharField(max_length=32, default="", db_default="", editable=False)
    host = models.CharField(max_length=255, default="", db_default="", blank=True)
    pid = models.IntegerField(null=True, blank=True)
    # Where the process id counts: hosts may share a name.
    place = models.CharField(max_length=512, default="", db_default="", editable=False)
    rescued = models.DateTimeField(null=True, blank=True)
    tasks = models.JSONField(null=True, blank=True, help_text=_("Names of tasks it knows."))

    class Meta:
        verbose_name = _("Worker Status")
        verbose_name_plural = _("Workers Statuses")

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
        if self.rescued is not None or self.last_tick < timezone.now() - self.timeout:
            return self.States.TIMEDOUT
        return self.States.ONLINE

    @property
    def icon(self) -> str:
        """Return one character that stands for the state."""
        return self.ICONS[self.States(self.state)]


class QueueStatus(models.Model):
    """A queue by its name, paused or not. One without a row is not paused."""

    class States(models.TextChoices):
        ACTIVE = "ACTIVE", _("Active")
        PAUSED = "PAUSED", _("Paused")

    ICONS = {States.ACTIVE: "🟢", States.PAUSED: "⏸️"}

    name = models.CharField(max_length=255, primary_key=True)
    paused = models.DateTimeField(null=True, blank=True, help_text=_("Since when it is paused."))

    class Meta:
        verbose_name = _("Queue")
        verbose_name_plural = _("Queues")
        permissions = [("pause_queuestatus", "Can pause and resume queues")]

    def __str__(self) -> str:
        return f"{self.name} [{self.state}]"

    @property
    def state(self) -> str:
        """Return the state."""
        return self.States.ACTIVE if self.paused is None else self.States.PAUSED

    @property
    def icon(self) -> str:
        """Return one character that stands for the state."""
        return self.ICONS[self.States(self.state)]


class Lane(models.Model):
    """A limited task's row to lock while its calls are claimed; see store/lanes.py."""

    name = models.CharField(max_length=255, primary_key=True)
    used_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
