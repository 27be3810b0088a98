"""System checks of the entries of TASKS that name our backend. They work without the models."""

import sys
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage, Error

from django_toosimple_q.contrib.tasks import LINES
from django_toosimple_q.exceptions import InvalidDefinition, did_you_mean
from django_toosimple_q.task_options import check_name

KEYS = ("BACKEND", "QUEUES", "OPTIONS")
# The path that serves one line of the framework: which one depends on Django's release.
SHARED_PATH = f"{__package__}.ToosimpleQBackend"


def check_backend(backend: Any) -> list[CheckMessage]:
    """Return what is wrong with one entry of TASKS; the framework's own check asks for it."""
    return [
        *_check_app(),
        *_check_lines(backend),
        *_check_keys(backend),
        *_check_queues(backend),
    ]


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


def _check_lines(backend: Any) -> list[CheckMessage]:
    """Find a project that uses both lines of the framework, and a path that serves one of them."""
    if backend.params.get("BACKEND") != SHARED_PATH or not all(one in sys.modules for one in LINES):
        return []
    return [
        checks.Warning(
            f"TASKS[{backend.alias!r}] names {SHARED_PATH}, which serves django.tasks, and "
            "django_tasks is imported as well: its @task makes tasks of django.tasks here.",
            hint=f"Use @task of django.tasks. For tasks of django_tasks name "
            f"{__package__}.backport.ToosimpleQBackend; if both are used, under an alias of its "
            f"own, and name {__package__}.core.ToosimpleQBackend here.",
            id="toosimpleq.W053",
        )
    ]


def _check_keys(backend: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for key in backend.params:
        if key not in KEYS:
            messages.append(
                checks.Warning(
                    f"TASKS[{backend.alias!r}] has the key {key!r}, which means nothing.",
                    hint=did_you_mean(
                        key, KEYS, f"There are: {', '.join(KEYS)}.", cutoff=0.4, write=str
                    ),
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
            messages.append(Error(str(error), hint="Correct QUEUES.", id="toosimpleq.E052"))
    return messages
