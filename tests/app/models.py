"""The ledger in which tasks of the tests leave their effects."""

from django.db import models


class Effect(models.Model):
    """One effect of one run of a task, written by the task itself."""

    key = models.CharField(max_length=255)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.key} at {self.at:%Y-%m-%d %H:%M:%S.%f}"


class EffectProxy(Effect):
    """An effect under another name."""

    class Meta:
        proxy = True
