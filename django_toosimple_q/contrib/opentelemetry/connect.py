"""Turn tracing on in this process, and off."""

from collections.abc import Callable
from typing import Any

from django_toosimple_q import signals, traces
from django_toosimple_q.contrib.opentelemetry import attempts, enqueues

RECEIVERS: list[tuple[Any, Callable[..., None]]] = [
    (signals.task_started, attempts.begin),
    (signals.task_finished, attempts.end),
    (signals.outcome_dropped, attempts.drop),
    (signals.worker_stopped, attempts.flush),
]


def connect() -> None:
    """Trace calls from now on, by the tracer provider of this process. Twice does no harm."""
    traces.carry(enqueues.record)
    for signal, receiver in RECEIVERS:
        signal.connect(receiver)


def disconnect() -> None:
    """Trace no further calls."""
    traces.carry(None)
    for signal, receiver in RECEIVERS:
        signal.disconnect(receiver)
