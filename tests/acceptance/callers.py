"""What the acceptance tests run in processes of their own beside the workers."""

from django.db import OperationalError, transaction

from tests.app.models import Effect
from tests.app.tasks import unique


def queue_unique(rounds: int, path: str) -> None:
    """Queue the same unique call in transactions that write something for it to see."""
    for _ in range(rounds):
        committed = False
        while not committed:
            try:
                with transaction.atomic():
                    Effect.objects.create(key="k")
                    unique.queue("k", path)
            except OperationalError as error:
                # InnoDB may choose a caller as the victim of a deadlock: its whole transaction is
                # rolled back, nothing is lost, and it is the caller's to repeat. Nowhere else.
                if "1213" not in str(error):
                    raise
            else:
                committed = True
