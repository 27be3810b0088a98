"""The tables of queues, and of the limits of tasks."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_toosimple_q.fields import MomentField


class QueueStatus(models.Model):
    """A queue by its name, paused or not. One without a row is not paused."""

    class States(models.TextChoices):
        ACTIVE = "ACTIVE", _("Active")
        PAUSED = "PAUSED", _("Paused")

    name = models.CharField(max_length=255, primary_key=True)
    paused = MomentField(null=True, blank=True, help_text=_("Since when it is paused."))

    class Meta:
        app_label = "toosimpleq"
        verbose_name = _("Queue")
        verbose_name_plural = _("Queues")
        permissions = [("pause_queuestatus", "Can pause and resume queues")]

    def __str__(self) -> str:
        return f"{self.name} [{self.state}]"

    @property
    def state(self) -> str:
        """Return the state."""
        return self.States.ACTIVE if self.paused is None else self.States.PAUSED


class ConcurrencyKey(models.Model):
    """A limited task's row to lock while its calls are claimed; see store/limits.py."""

    name = models.CharField(max_length=255, primary_key=True)
    used_until = MomentField(null=True)

    class Meta:
        app_label = "toosimpleq"
        verbose_name = _("Concurrency Key")
        verbose_name_plural = _("Concurrency Keys")

    def __str__(self) -> str:
        return self.name
