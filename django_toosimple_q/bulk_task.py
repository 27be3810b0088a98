"""The task by which the admin acts on very many calls."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as AnyDatabaseError

from django_toosimple_q import conf
from django_toosimple_q.decorators import register_task
from django_toosimple_q.task_options import TASK_OPTIONS


def _setting(name: str, option: str) -> Any:
    return TASK_OPTIONS[option].read(conf.get(name), name, ImproperlyConfigured)


# A passing error of the database ends a run. The next one goes on behind the last step.
@register_task(
    name="django_toosimple_q.bulk",
    queue=_setting("TOOSIMPLEQ_BULK_QUEUE", "queue"),
    priority=_setting("TOOSIMPLEQ_BULK_PRIORITY", "priority"),
    retry_for=AnyDatabaseError,
    retries=10,
    retry_delay=5,
    retry_delay_max=300,
)
def act_on_many(
    action: str, selection: dict[str, Any], user_pk: Any, language: str | None = None
) -> dict[str, Any]:
    """Act on the selected calls on behalf of a user, and return how many were changed.

    `action` is one of "requeue", "cancel" and "delete". `selection` is what
    `Selection.described()` returned.
    """
    # Not before it runs: the ModelAdmins register themselves.
    from django_toosimple_q.admin.bulk.run import run

    return run(action, selection, user_pk, language)
