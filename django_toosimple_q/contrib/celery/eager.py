"""Run a call in the calling process, with its retries: `apply` and CELERY_TASK_ALWAYS_EAGER."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from django_toosimple_q.contrib.celery import conf, states
from django_toosimple_q.contrib.celery.exceptions import Retry
from django_toosimple_q.contrib.celery.request import entered, from_row
from django_toosimple_q.contrib.celery.result import EagerResult
from django_toosimple_q.execution import Claimed
from django_toosimple_q.moments import current_moment


def is_on() -> bool:
    """Return whether `delay` runs its call at once."""
    return bool(conf.get("CELERY_TASK_ALWAYS_EAGER"))


def propagates() -> bool:
    """Return whether `delay` then raises the exception of the call."""
    return bool(conf.get("CELERY_TASK_EAGER_PROPAGATES"))


def run(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], *, throw: bool) -> EagerResult:
    """Run a call until it succeeds or has no retries left, without waiting between attempts.

    With `throw`, the first exception is raised, even a `Retry`.
    """
    # Importing these needs the models.
    from django_toosimple_q.failure import retried
    from django_toosimple_q.store.enqueue import new_row

    # Refuse what a row cannot store, or tests would accept calls that production refuses.
    new_row(task.task, args, kwargs, due=None, now=current_moment())
    task_id = str(uuid4())
    claimed = _row(task.task)
    while True:
        request = from_row(claimed, task.task.retries, args, kwargs)
        request.eager_id, request.is_eager = task_id, True
        try:
            with entered(task, request):
                value = task.call(args, kwargs)
            return EagerResult(task_id, value, states.SUCCESS, name=task.name)
        except Exception as error:
            next_attempt = retried(task.task, claimed, error)
            if throw:
                if next_attempt is None or isinstance(error, Retry):
                    raise
                raise Retry(exc=error, when=next_attempt.delay_seconds, is_eager=True) from error
            if next_attempt is None:
                text = "".join(traceback.format_exception(error))
                return EagerResult(task_id, error, states.FAILURE, text, name=task.name)
            claimed = replace(
                claimed,
                attempt=claimed.attempt + 1,
                retries=next_attempt.retries,
                retry_delay=next_attempt.retry_delay,
            )


def _row(task: Any) -> Claimed:
    """Return the row that the call would have."""
    now = current_moment()
    return Claimed(
        pk=0,
        task_name=task.name,
        args="",
        kwargs="",
        queue=task.queue_name,
        priority=task.priority,
        retries=task.retries,
        retry_delay=task.retry_delay,
        due=now,
        created=now,
        expires=None,
        attempt=1,
        root_id=None,
        crash_count=0,
        unique_hash="",
        exclusive=False,
        timeout=None,
    )
