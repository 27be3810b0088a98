"""Update rows of django-toosimple-q 1.x, once, from a migration."""

from collections.abc import Iterator
from typing import Any

from django_toosimple_q import payload
from django_toosimple_q.databases.base import TABLE
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.texts import TASK_NAMES, TASK_QUEUES, holds

BATCH = 500
FIELDS = ("args", "kwargs", "result")


def sign_rows(connection: Any) -> int:
    """Sign the unsigned payloads without unpickling them, and return the number of rows.

    The payloads are trusted as they are. From here on, write access to the database is not enough
    to get another one accepted.
    """
    count = 0
    for batch in _batches(connection):
        signed = [
            (*(_signed(name, text, field) for field, text in zip(FIELDS, texts, strict=True)), pk)
            for pk, name, *texts in batch
            if any(text is not None and not payload.is_sealed(text) for text in texts)
        ]
        count += len(signed)
        if signed:
            with connection.cursor() as cursor:
                cursor.executemany(
                    f"UPDATE {TABLE} SET args = %s, kwargs = %s, result = %s WHERE id = %s", signed
                )
    return count


def set_queues(connection: Any) -> None:
    """Set the queue and priority of waiting rows from their task, since 1.x did not store them."""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {TABLE} SET queue = %s, priority = %s"
            " WHERE task_name = %s AND state IN ('SLEEPING', 'QUEUED')",
            [
                (task.queue_name, task.priority, task.name)
                for task in tasks_registry.values()
                if holds(connection, task.name, TASK_NAMES)
                and holds(connection, task.queue_name, TASK_QUEUES)
            ],
        )


def _batches(connection: Any) -> Iterator[list[Any]]:
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, task_name, args, kwargs, result FROM {TABLE}"
                " WHERE id > %s ORDER BY id LIMIT %s",
                [last, BATCH],
            )
            batch = cursor.fetchall()
        if not batch:
            return
        yield batch
        last = batch[-1][0]


def _signed(task_name: str, text: str | None, field: str) -> str | None:
    if text is None or payload.is_sealed(text):
        return text
    return payload.seal_unsigned(text, field, task_name)
