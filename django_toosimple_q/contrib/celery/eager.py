"""Run a call where it is made, retries included: `apply`, and CELERY_TASK_ALWAYS_EAGER."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from django.utils import timezone

from django_toosimple_q.contrib.celery import conf, states
from django_toosimple_q.contrib.celery.exceptions import Retry
from django_toosimple_q.contrib.celery.request import entered, from_row
from django_toosimple_q.contrib.celery.result import EagerResult
from django_toosimple_q.execution import Claimed


def is_on() -> bool:
    """Tell whether `delay` runs its call at once."""
    return bool(conf.get("CELERY_TASK_ALWAYS_EAGER"))


def propagates() -> bool:
    """Tell whether the exception of such a call is raised where the call is made."""
    return bool(conf.get("CELERY_TASK_EAGER_PROPAGATES"))


def run(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], *, throw: bool) -> EagerResult:
    """Run a call until it has no retries left, without waiting between the attempts.

    With `throw` the first exception is raised, a `Retry` too.
    """
    # These need the models.
    from django_toosimple_q.store.task_execs.enqueue import new_row
    from django_toosimple_q.worker.executor import retried

    # What a row could not keep is refused here, too, or tests would pass what production refuses.
    new_row(task.task, args, kwargs, due=None, now=timezone.now())
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
            following = retried(task.task, claimed, error)
            if throw:
                if following is None or isinstance(error, Retry):
                    raise
                raise Retry(exc=error, when=following.delay_seconds, is_eager=True) from error
            if following is None:
                text = "".join(traceback.format_exception(error))
                return EagerResult(task_id, error, states.FAILURE, text, name=task.name)
            claimed = replace(
                claimed,
                attempt=claimed.attempt + 1,
                retries=following.retries,
                retry_delay=following.retry_delay,
            )


def _row(task: Any) -> Claimed:
    """Return the row that the call would have."""
    now = timezone.now()
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
        deaths=0,
        unique_hash="",
        alone=False,
        timeout=None,
    )
