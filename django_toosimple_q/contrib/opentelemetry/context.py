"""The tracer, what all spans say, and the W3C trace context as a row carries it."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from django_toosimple_q import __version__
from django_toosimple_q.models import TRACE_CONTEXT_LENGTH

# The version of the semantic conventions that names and values of attributes follow.
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SYSTEM = "toosimpleq"

tracer = trace.get_tracer("django_toosimple_q", __version__, schema_url=SCHEMA_URL)
# Not the propagators of the project: baggage has no bound, and may say anything about people.
propagator = TraceContextTextMapPropagator()


def attributes(operation: str, kind: str, task_name: str, queue: str) -> dict[str, Any]:
    """Return the attributes that say which operation, task and queue a span is about."""
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
        f"messaging.{SYSTEM}.task": task_name,
    }


def message(pk: int, root: int) -> Mapping[str, str]:
    """Return the attributes that say which call a span is about: its row, and its first row."""
    return {"messaging.message.id": str(pk), "messaging.message.conversation_id": str(root)}


def written(span: Span) -> str | None:
    """Return the context of a span as a row carries it; None where nothing is traced."""
    fields: dict[str, str] = {}
    propagator.inject(fields, trace.set_span_in_context(span))
    text = " ".join(fields[name] for name in ("traceparent", "tracestate") if name in fields)
    return (text if len(text) <= TRACE_CONTEXT_LENGTH else fields["traceparent"]) or None


def links(text: str | None) -> list[Link]:
    """Return the link to the span whose context a row carries, if it does and can be read."""
    parent, _, state = (text or "").partition(" ")
    context = propagator.extract({"traceparent": parent, "tracestate": state}, Context())
    found = trace.get_current_span(context).get_span_context()
    return [Link(found)] if found.is_valid else []
