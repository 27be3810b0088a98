"""System checks: problems in the project's settings and definitions, each with a hint."""

import re
from datetime import datetime, timedelta
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from django_toosimple_q import code_version, conf, faces, health
from django_toosimple_q.databases import shortcomings
from django_toosimple_q.exceptions import InvalidArguments, did_you_mean
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.moments import current_moment
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.store import schedule_execs, texts, workers

Messages = list[CheckMessage]
SHORTEST_TOKEN = 16


@register
def check_setting_names(app_configs: Any, **kwargs: Any) -> Messages:
    """Find settings that have our prefix but do not exist."""
    messages: Messages = []
    for name in conf.unknown_names():
        known = f"There are: {', '.join(conf.DEFAULTS)}."
        hint = did_you_mean(name, conf.DEFAULTS, known, write=str)
        messages.append(
            Error(f"The setting {name} does not exist.", hint=hint, id="toosimpleq.E001")
        )
    return messages


@register
def check_setting_values(app_configs: Any, **kwargs: Any) -> Messages:
    """Find settings with invalid values."""
    messages: Messages = []
    largest = conf.get("TOOSIMPLEQ_MAX_RESULT")
    if isinstance(largest, bool) or not isinstance(largest, int) or largest < 1:
        messages.append(
            Error(
                f"TOOSIMPLEQ_MAX_RESULT cannot be {largest!r}.",
                hint="Use a number of bytes, such as 1_000_000.",
                id="toosimpleq.E005",
            )
        )
    version = conf.get("TOOSIMPLEQ_CODE_VERSION")
    if version is not None and not (
        isinstance(version, str) and re.fullmatch(rf"[!-+\--~]{{1,{code_version.LENGTH}}}", version)
    ):
        messages.append(
            Error(
                f"TOOSIMPLEQ_CODE_VERSION cannot be {version!r}.",
                hint=f"Use a text of 1 to {code_version.LENGTH} letters and digits, such as "
                '"2026.05.1", or remove the setting.',
                id="toosimpleq.E010",
            )
        )
    retention = conf.get("TOOSIMPLEQ_RETENTION")
    if not isinstance(retention, dict) or not all(
        state in TaskExec.States.done() and isinstance(kept, timedelta | None)
        for state, kept in retention.items()
    ):
        messages.append(
            Error(
                f"TOOSIMPLEQ_RETENTION cannot be {retention!r}.",
                hint=f"Use a dict of {', '.join(TaskExec.States.done())} to a timedelta or None.",
                id="toosimpleq.E008",
            )
        )
    token = conf.get("TOOSIMPLEQ_MONITORING_TOKEN")
    if token is not None and (not isinstance(token, str) or len(token) < SHORTEST_TOKEN):
        # Not with the value, which is a secret.
        messages.append(
            Error(
                f"TOOSIMPLEQ_MONITORING_TOKEN is no text of at least {SHORTEST_TOKEN} characters.",
                hint="Use a long random text, such as one of secrets.token_urlsafe().",
                id="toosimpleq.E010",
            )
        )
    try:
        conf.task_log_level()
    except ImproperlyConfigured as error:
        fact, _, hint = str(error).partition(". ")
        messages.append(Error(f"{fact}.", hint=hint, id="toosimpleq.E011"))
    until = conf.get("TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL")
    if until is not None and not isinstance(until, datetime):
        messages.append(
            Error(
                f"TOOSIMPLEQ_ACCEPT_UNSIGNED_UNTIL cannot be {until!r}.",
                hint="Use an aware datetime, or remove the setting.",
                id="toosimpleq.E006",
            )
        )
    return messages


@register
def check_schedule_arguments(app_configs: Any, **kwargs: Any) -> Messages:
    """Find schedules whose arguments do not fit their task."""
    messages: Messages = []
    for schedule in schedules_registry.values():
        try:
            schedule.check_arguments()
            if schedule.task.unique_by is None:  # user code, which may need the tables
                schedule_execs.new_call(schedule, current_moment(), current_moment())
        except InvalidArguments as error:
            messages.append(
                Error(
                    str(error),
                    hint="Fix args=, kwargs= or datetime_kwarg= of the @schedule_task.",
                    obj=schedule.location,
                    id="toosimpleq.E004",
                )
            )
    return messages


@register
def check_schedule_crons(app_configs: Any, **kwargs: Any) -> Messages:
    """Find expressions that are valid but probably a mistake."""
    return [
        Warning(
            f"schedule {schedule.name!r}: {schedule.expression.suspicious}",
            hint="Write 0 as the sixth field to fire once a minute.",
            obj=schedule.location,
            id="toosimpleq.W001",
        )
        for schedule in schedules_registry.values()
        if schedule.expression.suspicious
    ]


@register
def check_task_backends(app_configs: Any, **kwargs: Any) -> Messages:
    """Find a backend of ours in TASKS that cannot be imported. The framework reports all others."""
    ours = f"{faces.__package__}."
    return [
        Error(
            f"TASKS[{alias!r}] names {path!r}, which cannot be imported: {faces.problems[alias]}",
            hint="Use django_toosimple_q.contrib.tasks.ToosimpleQBackend. Before Django 6.0 it "
            "needs the package django-tasks: pip install django-toosimple-q[tasks].",
            id="toosimpleq.E009",
        )
        for alias, path in conf.task_backends().items()
        if path.startswith(ours) and alias in faces.problems
    ]


@register(Tags.database)
def check_database(app_configs: Any, databases: Any = None, **kwargs: Any) -> Messages:
    """Find a database that does not support the queue well."""
    alias = router.db_for_write(TaskExec)
    if not databases or alias not in databases:
        return []
    return [
        Warning(fact, hint=cure, id="toosimpleq.W002")
        for fact, cure in shortcomings(connections[alias])
    ]


@register(Tags.database)
def check_broken_schedules(app_configs: Any, databases: Any = None, **kwargs: Any) -> Messages:
    """Find schedules whose calls a worker could not queue."""
    # `migrate` runs the checks too, before there are tables.
    if router.db_for_write(TaskExec) not in (databases or ()) or workers.missing_tables():
        return []
    return [
        Warning(
            f"schedule {row.name!r} cannot be queued since {row.failed}: {row.error}",
            hint="Correct its arguments, or unique_by of its task, and restart the workers. "
            "What it missed is queued then, as catch_up says.",
            obj=row.schedule.location if row.schedule else None,
            id="toosimpleq.W003",
        )
        for row in schedule_execs.broken()
    ]


@register(Tags.database)
def check_names(app_configs: Any, databases: Any = None, **kwargs: Any) -> Messages:
    """Find names that the queue's database cannot hold."""
    if router.db_for_write(TaskExec) not in (databases or ()):
        return []
    tasks, schedules = tasks_registry.values(), schedules_registry.values()
    kinds = (
        ("task", texts.TASK_NAMES, {task.name: task for task in tasks}),
        ("queue", texts.TASK_QUEUES, {task.queue_name: task for task in tasks}),
        ("schedule", texts.SCHEDULE_NAMES, {one.name: one for one in schedules}),
    )
    return [
        Warning(
            f"the database cannot hold the name of the {kind} {name!a}: its encoding lacks some "
            "characters. Nothing under this name can be queued.",
            hint="Use another name, or a database in UTF-8 (utf8mb4).",
            obj=definitions[name].location,
            id="toosimpleq.W004",
        )
        for kind, column, definitions in kinds
        for name in texts.unstorable(definitions, column)
    ]


@register(Tags.database)
def check_workers(app_configs: Any, databases: Any = None, **kwargs: Any) -> Messages:
    """Find queues in which calls wait that no living worker takes."""
    if router.db_for_write(TaskExec) not in (databases or ()) or workers.missing_tables():
        return []
    return [
        Warning(problem.fact, hint=problem.cure, id="toosimpleq.W005")
        for problem in health.read().unattended()
    ]


@register
def check_same_database(app_configs: Any, **kwargs: Any) -> Messages:
    """Find a database router that splits the queue's tables between databases."""
    aliases = {router.db_for_write(model) for model in (TaskExec, ScheduleExec)}
    if len(aliases) == 1:
        return []
    return [
        Error(
            f"DATABASE_ROUTERS keep the queue's tables in several databases: {sorted(aliases)}.",
            hint='Route the whole app "toosimpleq" to one database.',
            id="toosimpleq.E007",
        )
    ]
