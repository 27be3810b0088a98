"""What the enqueue rate is compared with: a plain row as wide as ours."""

from django.db import models
from django.utils import timezone


class Row(models.Model):
    """A row that only Django's own `create` writes."""

    task_name = models.CharField(max_length=255)
    args = models.TextField()
    kwargs = models.TextField()
    queue = models.CharField(max_length=255, default="default")
    priority = models.IntegerField(default=0)
    retries = models.IntegerField(default=0)
    retry_delay = models.IntegerField(default=0)
    due = models.DateTimeField(default=timezone.now)
    created = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=32, default="QUEUED")
    attempt = models.IntegerField(default=1)
    root = models.BigIntegerField(null=True)
    deaths = models.IntegerField(default=0)
    unique_key = models.CharField(max_length=64, null=True)
    unique_hash = models.CharField(max_length=64, default="")
    alone = models.BooleanField(default=False)
    timeout = models.FloatField(null=True)
    expires = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                "queue",
                models.F("priority").desc(),
                "due",
                "id",
                name="row_claim",
                condition=models.Q(state="QUEUED"),
            )
        ]
