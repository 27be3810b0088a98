"""System checks of the entries of TASKS that name our backend."""

from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import router

from django_toosimple_q.contrib.tasks.framework import loaded
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.models import WorkerStatus
from django_toosimple_q.store import workers
from django_toosimple_q.task import check_name

KEYS = ("BACKEND", "QUEUES", "OPTIONS")


def check_backend(backend: Any) -> list[CheckMessage]:
    """Return what is wrong with one entry of TASKS; the framework's own check asks for it."""
    return [*_check_app(), *_check_keys(backend), *_check_queues(backend)]


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
    """Tell whether a worker claims from a queue."""
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


def _check_app() -> list[CheckMessage]:
    if apps.is_installed("django_toosimple_q"):
        return []
    return [
        Error(
            "TASKS names the backend of django_toosimple_q, which is not installed.",
            hint='Add "django_toosimple_q" to INSTALLED_APPS and migrate.',
            id="toosimpleq.E050",
        )
    ]


def _check_keys(backend: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for key in backend.params:
        if key not in KEYS:
            close = get_close_matches(key, KEYS, n=1, cutoff=0.4)
            messages.append(
                checks.Warning(
                    f"TASKS[{backend.alias!r}] has the key {key!r}, which means nothing.",
                    hint=f"Did you mean {close[0]}?" if close else f"There are: {', '.join(KEYS)}.",
                    id="toosimpleq.W050",
                )
            )
    if backend.options:
        options = ", ".join(sorted(backend.options))
        messages.append(
            checks.Warning(
                f"TASKS[{backend.alias!r}] has OPTIONS that mean nothing: {options}.",
                hint="Give options to tasks: @task(retries=3).",
                id="toosimpleq.W051",
            )
        )
    return messages


def _check_queues(backend: Any) -> list[CheckMessage]:
    queues = backend.params.get("QUEUES", [])
    if isinstance(queues, str):
        return [
            Error(
                f"TASKS[{backend.alias!r}] has QUEUES = {queues!r}: each letter would be a queue.",
                hint=f"Use a list: [{queues!r}].",
                id="toosimpleq.E051",
            )
        ]
    messages: list[CheckMessage] = []
    for queue in queues:
        try:
            check_name(queue, f"the queue of TASKS[{backend.alias!r}]")
        except InvalidDefinition as error:
            messages.append(Error(str(error), hint="Mend QUEUES.", id="toosimpleq.E052"))
    return messages
