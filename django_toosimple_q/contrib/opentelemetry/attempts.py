"""The spans of attempts: each the root of a trace, with a link to what queued the call."""

import threading
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from django_toosimple_q import payload
from django_toosimple_q.contrib.opentelemetry import context
from django_toosimple_q.execution import Claimed, Outcome
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.text import shortened

OPERATION = "run"
LONGEST_DESCRIPTION = 255
# How long a worker that ends waits for its last spans to be sent.
FLUSH_SECONDS = 5.0


def begin(claimed: Claimed, worker: str, **kwargs: Any) -> None:
    """Begin the span of an attempt, and make it the current one of the run's own context."""
    attributes = context.attributes(OPERATION, "process", claimed.task_name, claimed.queue)
    span = context.tracer.start_span(
        f"{OPERATION} {claimed.task_name}",
        context=Context(),
        kind=SpanKind.CONSUMER,
        links=context.links(claimed.trace_context),
        attributes={
            **attributes,
            **context.message(claimed.pk, claimed.root_id or claimed.pk),
            "messaging.client.id": worker,
            f"messaging.{context.SYSTEM}.attempt": claimed.attempt,
        },
    )
    claimed.span = span
    # Not taken back: it ends with the context.
    contexts.attach(trace.set_span_in_context(span, Context()))


def end(claimed: Claimed, outcome: Outcome, **kwargs: Any) -> None:
    """End the span of an attempt with its outcome."""
    span = _taken(claimed)
    if span is None:
        return
    span.set_attribute(f"messaging.{context.SYSTEM}.state", str(outcome.state))
    try:
        if outcome.state != TaskExec.States.SUCCEEDED:
            _fail(span, claimed, outcome)
    finally:
        span.end()


def drop(claimed: Claimed, **kwargs: Any) -> None:
    """End the span of an attempt whose outcome came too late to count."""
    span = _taken(claimed)
    if span is not None:
        span.set_attribute("error.type", "dropped")
        span.set_status(Status(StatusCode.ERROR, "the call was given to another worker meanwhile"))
        span.end()


def flush(**kwargs: Any) -> None:
    """Send what waits to be sent: a process that a supervisor has forked ends without `atexit`."""
    send = getattr(trace.get_tracer_provider(), "force_flush", None)
    if send is not None:
        # In a thread, since a processor may wait for as long as its exporter does.
        thread = threading.Thread(target=send, name="toosimpleq-flush-spans", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)


def _taken(claimed: Claimed) -> Span | None:
    """Return the span of an attempt once."""
    span, claimed.span = claimed.span, None
    return span


def _fail(span: Span, claimed: Claimed, outcome: Outcome) -> None:
    kind = outcome.error_type or str(outcome.state)
    span.set_attribute("error.type", kind)
    if _is_sensitive(claimed):
        # The text of an exception may quote an argument, and a traceback ends with it.
        span.set_status(Status(StatusCode.ERROR, kind))
        span.add_event("exception", {"exception.type": kind})
        return
    said = f"{kind}: {outcome.error_message}" if outcome.error_type else outcome.error or kind
    span.set_status(Status(StatusCode.ERROR, shortened(said, LONGEST_DESCRIPTION)))
    if outcome.exception is not None:
        span.record_exception(outcome.exception)


def _is_sensitive(claimed: Claimed) -> bool:
    task = tasks_registry.find(claimed)
    return bool(task and task.sensitive) or payload.is_sensitive(claimed.args)
