"""The spans of what queues calls: one for the calls of a task that are stored together."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from django_toosimple_q.contrib.opentelemetry import context
from django_toosimple_q.failure import dotted_name
from django_toosimple_q.models import TaskExec

OPERATION = "enqueue"

logger = logging.getLogger("toosimpleq")


@contextmanager
def record(rows: Sequence[TaskExec]) -> Iterator[None]:
    """Trace the block, which inserts the rows of new calls; each row carries its span's context."""
    calls: dict[tuple[str, str], list[TaskExec]] = {}
    for row in rows:
        calls.setdefault((row.task_name, row.queue), []).append(row)
    spans: list[tuple[Span, Sequence[TaskExec]]] = []
    with _harmless():
        for call, alike in calls.items():
            spans.append((_begin(*call, alike), alike))
    # Statements of the block belong to the span, if it is one.
    with_span = nullcontext() if len(spans) != 1 else _current(spans[0][0])
    try:
        with with_span:
            yield
        for span, some in spans:
            if len(some) == 1:
                [row] = some
                span.set_attributes(context.message(row.pk, row.root_id or row.pk))
    except BaseException as error:
        for span, _ in spans:
            _fail(span, dotted_name(type(error)))
        raise
    finally:
        for span, _ in spans:
            with _harmless():
                span.end()


@contextmanager
def _harmless() -> Iterator[None]:
    """Log what the provider of the project raises: a call is queued even if it cannot be traced."""
    try:
        yield
    except Exception:  # the project's samplers and processors
        logger.exception("Queuing a call could not be traced")


def _begin(task_name: str, queue: str, rows: Sequence[TaskExec]) -> Span:
    attributes = context.attributes(OPERATION, "send", task_name, queue)
    if len(rows) > 1:
        attributes["messaging.batch.message_count"] = len(rows)
    span = context.tracer.start_span(
        f"{OPERATION} {task_name}", kind=SpanKind.PRODUCER, attributes=attributes
    )
    carried = context.written(span)
    for row in rows:
        row.trace_context = carried
    return span


def _current(span: Span) -> AbstractContextManager[Any]:
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def _fail(span: Span, kind: str) -> None:
    # No more than the type: the error of a database may quote the row.
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
