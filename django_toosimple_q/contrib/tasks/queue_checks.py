"""A system check that needs the database: queues of TASKS without a worker."""

from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db import router

from django_toosimple_q.contrib.tasks.framework import loaded
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import workers


@checks.register(checks.Tags.database)
def check_queues_are_worked(
    app_configs: Any, databases: Any = None, **kwargs: Any
) -> list[CheckMessage]:
    """Find queues of TASKS that none of the workers that run now takes."""
    alias = router.db_for_read(WorkerStatus)
    if not databases or alias not in databases:
        return []
    queues = _queues()
    # `migrate` runs the checks too, before there are tables.
    if not queues or workers.missing_tables():
        return []
    living = workers.alive()
    return [
        checks.Warning(
            f"TASKS[{alias!r}] has the queue {queue!r}, which no worker takes.",
            hint=f"Start one with --queue={queue}, or without --queue.",
            id="toosimpleq.W052",
        )
        for alias, queue in sorted(queues)
        if living and not any(takes(worker, queue) for worker in living)
    ]


def takes(worker: WorkerStatus, queue: str) -> bool:
    """Return whether a worker claims from a queue."""
    included = worker.included_queues
    return (not included or queue in included) and queue not in worker.excluded_queues


def _queues() -> set[tuple[str, str]]:
    """Return alias and name of each queue that our backends take calls for."""
    backends = [
        framework.backend(alias)
        for framework in loaded()
        for alias in framework.task_backends.settings
    ]
    return {(one.alias, queue) for one in backends if one is not None for queue in one.queues}
