"""How the queues stand, as rows of a table for people and as values for programs."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils import timezone

from django_toosimple_q.health import Health, Problem, counted, words
from django_toosimple_q.models import TaskExec
from django_toosimple_q.moments import aware
from django_toosimple_q.overview import QueueFigures
from django_toosimple_q.progress import amount
from django_toosimple_q.store import overview

RUNNING_SHOWN = 20


def queue_row(found: Health, queue: QueueFigures) -> list[str]:
    """Return a queue as cells of a table."""
    oldest = "" if queue.oldest is None else f", oldest {words(found.wait(queue))}"
    labels = found.labels(queue)
    state = f"active, {len(labels)} workers" if labels else "no worker"
    if len(labels) == 1:
        state = f"active, {labels[0]}"
    if queue.paused is not None:
        since = timezone.localtime(queue.paused) if queue.paused.tzinfo else queue.paused
        state = f"paused since {since:%Y-%m-%d %H:%M:%S}"
    return [queue.name, f"{counted(queue)} waiting{oldest}, {queue.running} running, {state}"]


def totals(found: Health) -> Iterator[str]:
    """Yield what is due later and what waits for a person, over all queues."""
    if found.scheduled and found.next_due is not None:
        more = "+" if found.more_scheduled else ""
        first = words(aware(found.next_due) - found.now)
        yield f"{found.scheduled}{more} due later, the next in {first}"
    if found.held:
        yield f"{found.held} held for a person"


def running_row(found: Health, row: TaskExec) -> list[str]:
    """Return a call that runs as cells of a table."""
    elapsed = "" if row.started is None else words(found.now - aware(row.started))
    done = amount(row.progress_done, row.progress_total)
    progress = f"{done}: {row.progress_message}" if row.progress_message else done
    return [f"#{row.pk}", row.task_name, elapsed, label_of(found, row) or "", progress]


def label_of(found: Health, row: TaskExec) -> str | None:
    """Return the label of the living worker that runs a call."""
    labels = (one.row.label for one in found.workers if one.row.pk == row.worker_id)
    return next(labels, None)


def described(health: Health, problems: Sequence[Problem]) -> dict[str, Any]:
    """Return how the queues stand and what runs, as values that JSON has."""
    running = [_running(health, row) for row in overview.running(RUNNING_SHOWN)]
    return {**health.described(problems), "running": running}


def _running(found: Health, row: TaskExec) -> dict[str, Any]:
    elapsed = None if row.started is None else found.now - aware(row.started)
    return {
        "id": row.pk,
        "task": row.task_name,
        "queue": row.queue,
        "worker": label_of(found, row),
        "seconds": None if elapsed is None else elapsed.total_seconds(),
        "done": row.progress_done,
        "total": row.progress_total,
        "message": row.progress_message,
    }
