"""Bring rows of django-toosimple-q 1.x up to date, once, from a migration."""

from collections.abc import Iterator
from typing import Any

from django_toosimple_q import payload
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store.dialect.base import TABLE

BATCH = 500
FIELDS = ("args", "kwargs", "result")


def sign_rows(connection: Any) -> int:
    """Sign the payloads that are not signed, without loading them; return how many rows.

    They are trusted as they stand: from here on, nobody who can only write to the database gets
    another one accepted.
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


def place_rows(connection: Any) -> None:
    """Give waiting rows the queue and the priority of their task; 1.x kept neither in the row."""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {TABLE} SET queue = %s, priority = %s"
            " WHERE task_name = %s AND state IN ('SLEEPING', 'QUEUED')",
            [(task.queue_name, task.priority, task.name) for task in tasks_registry.values()],
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
