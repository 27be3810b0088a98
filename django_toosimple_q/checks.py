"""System checks: what is wrong in the project's settings and definitions, each with a hint."""

from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, router
from django.utils.module_loading import import_string

from django_toosimple_q import conf
from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store.dialect import shortcomings

Messages = list[CheckMessage]


@register
def check_setting_names(app_configs: Any, **kwargs: Any) -> Messages:
    """Find settings with our prefix that mean nothing."""
    messages: Messages = []
    for name in conf.unknown_names():
        close = get_close_matches(name, conf.DEFAULTS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(conf.DEFAULTS)}."
        messages.append(
            Error(f"The setting {name} does not exist.", hint=hint, id="toosimpleq.E001")
        )
    return messages


@register
def check_setting_values(app_configs: Any, **kwargs: Any) -> Messages:
    """Find settings whose value cannot be right."""
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
    retention = conf.get("TOOSIMPLEQ_RETENTION")
    if not isinstance(retention, dict) or not all(
        state in TaskExec.States.done() and isinstance(kept, timedelta | None)
        for state, kept in retention.items()
    ):
        messages.append(
            Error(
                f"TOOSIMPLEQ_RETENTION cannot be {retention!r}.",
                hint=f"Use a dict from {', '.join(TaskExec.States.done())} to a timedelta or None.",
                id="toosimpleq.E008",
            )
        )
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
def check_email_backend(app_configs: Any, **kwargs: Any) -> Messages:
    """Find a TOOSIMPLEQ_EMAIL_BACKEND that cannot be imported, or that queues mail again."""
    path = conf.get("TOOSIMPLEQ_EMAIL_BACKEND")
    try:
        import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        return [
            Error(
                f"TOOSIMPLEQ_EMAIL_BACKEND = {path!r} cannot be imported: {error}",
                hint='Use the path of the backend that sends, such as "django.core.mail.backends.'
                'smtp.EmailBackend".',
                id="toosimpleq.E002",
            )
        ]
    if str(path).startswith("django_toosimple_q.contrib.mail"):
        return [
            Error(
                f"TOOSIMPLEQ_EMAIL_BACKEND = {path!r} would queue its own mail for ever.",
                hint="EMAIL_BACKEND queues; TOOSIMPLEQ_EMAIL_BACKEND names the one that sends.",
                id="toosimpleq.E003",
            )
        ]
    return []


@register
def check_schedule_arguments(app_configs: Any, **kwargs: Any) -> Messages:
    """Find schedules whose arguments do not fit their task."""
    messages: Messages = []
    for schedule in schedules_registry.values():
        try:
            schedule.check_arguments()
        except InvalidArguments as error:
            messages.append(
                Error(
                    str(error),
                    hint="Mend args=, kwargs= or datetime_kwarg= of the @schedule_task.",
                    obj=schedule.place,
                    id="toosimpleq.E004",
                )
            )
    return messages


@register
def check_schedule_crons(app_configs: Any, **kwargs: Any) -> Messages:
    """Find expressions that are valid and yet hardly meant."""
    return [
        Warning(
            f"schedule {schedule.name!r}: {schedule.expression.suspicious}",
            hint="Write 0 as the sixth field to fire once a minute.",
            obj=schedule.place,
            id="toosimpleq.W001",
        )
        for schedule in schedules_registry.values()
        if schedule.expression.suspicious
    ]


@register(Tags.database)
def check_database(app_configs: Any, databases: Any = None, **kwargs: Any) -> Messages:
    """Find a database that the queue cannot be kept in well."""
    alias = router.db_for_write(TaskExec)
    if not databases or alias not in databases:
        return []
    return [
        Warning(fact, hint=cure, id="toosimpleq.W002")
        for fact, cure in shortcomings(connections[alias])
    ]


@register
def check_same_database(app_configs: Any, **kwargs: Any) -> Messages:
    """Find a router that tears the queue's tables apart."""
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
