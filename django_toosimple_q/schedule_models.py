"""The table of schedules: what each last did, and whether it is paused."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.fields import MomentField
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule


class ScheduleExec(models.Model):
    """What a schedule last did: its latest occurrence and the row that came of it."""

    class States(models.TextChoices):
        ACTIVE = "ACTIVE", _("Active")
        BROKEN = "BROKEN", _("Broken")
        INVALID = "INVALID", _("Invalid")

    name = models.CharField(max_length=255, unique=True)
    last_due = MomentField(null=True, blank=True)
    last_task = models.ForeignKey("TaskExec", null=True, blank=True, on_delete=models.SET_NULL)
    state = models.CharField(max_length=32, choices=States.choices, default=States.ACTIVE)
    error = models.TextField(
        default="", db_default="", blank=True, help_text=_("Why its calls cannot be queued.")
    )
    failed = MomentField(null=True, blank=True, help_text=_("When they last could not be queued."))
    expression = models.TextField(
        default="",
        db_default="",
        editable=False,
        help_text=_("The expression, with its time zone, that it has followed so far."),
    )
    paused = MomentField(null=True, blank=True, help_text=_("Since when it is paused."))
    recent = models.TextField(
        default="",
        db_default="",
        editable=False,
        help_text=_("The ids of the calls that it queued last, the newest first."),
    )

    class Meta:
        app_label = "toosimpleq"
        verbose_name = _("Schedule Execution")
        verbose_name_plural = _("Schedule Executions")
        permissions = [
            ("force_run_scheduleexec", "Can force execution of schedules"),
            ("pause_scheduleexec", "Can pause and resume schedules"),
        ]

    def __str__(self) -> str:
        paused = self.paused is not None and self.state == self.States.ACTIVE
        return f"{self.name} [{'PAUSED' if paused else self.state}]"

    @property
    def schedule(self) -> Schedule | None:
        """Return the registered schedule, or None when the code no longer has it."""
        return schedules_registry.get(self.name)
