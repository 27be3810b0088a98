"""Fill the table with a million rows that have run, or that wait behind the measured ones."""

from django.db import connection

from django_toosimple_q.models import TaskExec
from peers.ours.tasks import noop

COPY = """
    INSERT INTO toosimpleq_taskexec ({columns})
    SELECT {values} FROM toosimpleq_taskexec row, generate_series(1, %s) AS n WHERE row.id = %s
"""
# As if one row had run in every second of the past days.
PAST = "NOW() - n * INTERVAL '1 second'"
FINISHED = {
    "state": "'SUCCEEDED'",
    "worker_id": "1",
    **dict.fromkeys(("due", "created", "started", "finished"), PAST),
}
# Behind all rows that were queued before.
WAITING = {"due": "NOW()", "created": "NOW()"}


def run(kind: str, count: int) -> int:
    """Add `count` copies of one call, and return the number of rows."""
    changes = {"finished": FINISHED, "waiting": WAITING}[kind]
    names = [field.column for field in TaskExec._meta.concrete_fields if not field.primary_key]
    values = [changes.get(name, f"row.{name}") for name in names]
    row = noop.queue(-1)
    with connection.cursor() as cursor:
        sql = COPY.format(columns=", ".join(names), values=", ".join(values))
        cursor.execute(sql, [count, row.pk])
    row.delete()
    return TaskExec.objects.count()
