"""Finish what has ended and claim what is next: a worker's one exchange with the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django_toosimple_q.databases.base import Bucket
from django_toosimple_q.execution import Claimed
from django_toosimple_q.store.claim import Claimant, claim
from django_toosimple_q.store.finish import Finished, finish, write
from django_toosimple_q.store.transaction import in_bounded_transaction, queue_database
from django_toosimple_q.store.unreadable import set_aside_waiting


def finish_and_claim(
    finished: Sequence[Finished],
    claimant: Claimant,
    buckets: Sequence[Bucket],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str] = (),
) -> tuple[set[int], list[Claimed]]:
    """Finish and claim, in one transaction if possible; see `finish` and `claim`."""
    if finished and any(bucket.concurrency_key for bucket in buckets):
        # Under REPEATABLE READ the claim would count running tasks from the snapshot that the
        # finish has read, so they are two transactions.
        kept = finish(finished, claimant.worker_id, now)
        return kept, _claim(claimant, buckets, limit, now, skipped_names)
    try:
        return _exchange(finished, claimant, buckets, limit, now, skipped_names)
    except Exception as error:
        if not queue_database().is_data_error(error):
            raise
    kept = finish(finished, claimant.worker_id, now) if finished else set()
    return kept, _claim(claimant, buckets, limit, now, skipped_names)


def _claim(
    claimant: Claimant,
    buckets: Sequence[Bucket],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str],
) -> list[Claimed]:
    """Claim; rows that cannot be read are set aside, and it is tried again."""
    while True:
        try:
            return _exchange((), claimant, buckets, limit, now, skipped_names)[1]
        except Exception as error:
            if not queue_database().is_data_error(error) or not set_aside_waiting(buckets, limit):
                raise


@in_bounded_transaction
def _exchange(
    connection: Any,
    finished: Sequence[Finished],
    claimant: Claimant,
    buckets: Sequence[Bucket],
    limit: int,
    now: datetime,
    skipped_names: Sequence[str],
) -> tuple[set[int], list[Claimed]]:
    kept = write(connection, finished, claimant.worker_id, now) if finished else set()
    return kept, claim(connection, claimant, buckets, limit, now, skipped_names)
