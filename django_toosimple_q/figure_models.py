"""The tables of figures: what ended in each minute, which failures a person has seen, and how far
actions on very many calls have come."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import histogram
from django_toosimple_q.fields import ERROR_TYPE_LENGTH, MomentField


class Dismissal(models.Model):
    """Failures of a task with one error type that a person has seen: older ones are not shown."""

    task_name = models.CharField(max_length=255)
    error_type = models.CharField(max_length=ERROR_TYPE_LENGTH, blank=True)
    dismissed = MomentField()

    class Meta:
        app_label = "toosimpleq"
        verbose_name = _("Dismissal")
        verbose_name_plural = _("Dismissals")

    def __str__(self) -> str:
        return f"{self.task_name} {self.error_type}"


class BulkRun(models.Model):
    """How far an action on very many calls has come. Each step changes it with the calls.

    So a run that was cut off goes on behind the last step, and does nothing twice.
    """

    call = models.BigIntegerField(
        primary_key=True, help_text=_("The first attempt of the task that acts.")
    )
    last = models.BigIntegerField(default=0, help_text=_("The last row that it has reached."))
    total = models.BigIntegerField(default=0, help_text=_("How many rows matched at first."))
    reached = models.BigIntegerField(default=0)
    changed = models.BigIntegerField(default=0)
    refused = models.TextField(default="", help_text=_("Why the first refused row was."))
    began = MomentField()
    ended = MomentField(null=True)

    class Meta:
        app_label = "toosimpleq"
        verbose_name = _("Bulk Run")
        verbose_name_plural = _("Bulk Runs")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.call} {self.reached}/{self.total}"


class Minute(models.Model):
    """How many calls of a task ended in a minute on one worker, and how long they took.

    Each process of a worker has rows of its own, so that none waits for another. After two hours
    they are summed up over all workers, in spans of fifteen minutes.
    """

    ENDS = ("done", "failures", "retried", "interrupted")
    SUMS = ("run_seconds", "wait_seconds")
    RUN_BINS = tuple(f"run_{number}" for number in range(histogram.BINS))
    WAIT_BINS = tuple(f"wait_{number}" for number in range(histogram.BINS))

    minute = models.IntegerField(help_text=_("When the span begins, in minutes since 1970 (UTC)."))
    span = models.IntegerField(default=1, help_text=_("Its length in minutes."))
    worker = models.ForeignKey(
        "WorkerStatus",
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
        related_name="+",
    )
    task_name = models.CharField(max_length=255)
    queue = models.CharField(max_length=255)
    done = models.IntegerField(default=0)
    failures = models.IntegerField(default=0, help_text=_("For good: FAILED or INVALID."))
    retried = models.IntegerField(default=0, help_text=_("Another attempt follows."))
    interrupted = models.IntegerField(default=0, help_text=_("Cut off or expired for good."))
    run_seconds = models.FloatField(default=0)
    wait_seconds = models.FloatField(default=0, help_text=_("From their due date to their start."))
    # One column for each bin, so that every database can add them up.
    vars().update({name: models.IntegerField(default=0) for name in (*RUN_BINS, *WAIT_BINS)})

    class Meta:
        app_label = "toosimpleq"
        verbose_name = _("Minute")
        verbose_name_plural = _("Minutes")
        indexes = [models.Index(fields=["span", "minute"], name="toosimpleq_by_minute")]

    def __str__(self) -> str:
        return f"{self.task_name} {self.minute}"
