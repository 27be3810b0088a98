"""System checks of a project that uses Celery's API: configuration that has no effect here."""

from typing import Any

from django.core.checks import CheckMessage, Error, Info, register

from django_toosimple_q.contrib.celery import beat, canvas, conf


@register
def check_beat_schedule(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Find entries of CELERY_BEAT_SCHEDULE that cannot be scheduled."""
    return [
        Error(
            f"CELERY_BEAT_SCHEDULE{f'[{name!r}]' if name else ''} is not scheduled: {problem}",
            hint="Fix the entry, or remove it.",
            id="toosimpleq.E150",
        )
        for name, problem in beat.problems.items()
    ]


@register
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Find CELERY_* settings that have no effect here."""
    names = conf.names_without_effect()
    if not names or not canvas.tasks():
        return []
    return [
        Info(
            f"These settings have no effect on this queue: {', '.join(names)}.",
            hint="Remove them when no task runs on Celery any more.",
            id="toosimpleq.I150",
        )
    ]
