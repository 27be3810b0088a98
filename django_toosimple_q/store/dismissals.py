"""Groups of failures that a person has dismissed: store until when, and read it."""

from datetime import datetime
from typing import Any

from django.db.models import Max

from django_toosimple_q.models import Dismissal
from django_toosimple_q.store.transaction import in_autocommit, in_transaction


@in_transaction
def dismiss(
    connection: Any, task_name: str, error_type: str, now: datetime, forgotten: datetime
) -> None:
    """Dismiss the failures of a task with this error type that ended until now.

    Dismissals from before `forgotten` are deleted: no failure of that time is shown any more.
    """
    rows = Dismissal.objects.using(connection.alias)
    rows.filter(dismissed__lt=forgotten).delete()
    rows.create(task_name=task_name, error_type=error_type, dismissed=now)


@in_autocommit
def dismissals(connection: Any) -> dict[tuple[str, str], datetime]:
    """Return when each group of failures, by task and error type, was dismissed last."""
    rows = Dismissal.objects.using(connection.alias).values_list("task_name", "error_type")
    found = rows.annotate(last=Max("dismissed")).order_by("task_name", "error_type")
    return {(name, kind): last for name, kind, last in found}
