"""What the acceptance tests run in processes of their own beside the workers."""

from django.db import transaction

from tests.app.models import Effect
from tests.app.tasks import unique


def queue_unique(rounds: int, path: str) -> None:
    """Queue the same unique call in transactions that write something for it to see."""
    for _ in range(rounds):
        with transaction.atomic():
            Effect.objects.create(key="k")
            unique.queue("k", path)
