"""What Celery code gives as the id of a call."""

from uuid import UUID

from django_toosimple_q.contrib.celery.exceptions import InvalidId


def parse_id(task_id: object) -> UUID:
    """Return an id as a UUID. Raises `InvalidId`."""
    if isinstance(task_id, UUID):
        return task_id
    try:
        return UUID(task_id)  # type: ignore[arg-type]
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidId(
            f"a task id must be a UUID, got {task_id!r}. Use the .id of the result of delay()."
        ) from error
