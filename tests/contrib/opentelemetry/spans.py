"""Collect the spans that this process makes while a test runs."""

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from django_toosimple_q.contrib.opentelemetry.connect import connect, disconnect

exporter = InMemorySpanExporter()
tracer = trace.get_tracer("tests")


def collect_spans(test):
    """Trace calls during a test."""
    # A process has one provider for ever, and that its processors.
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    if not hasattr(exporter, "processor"):
        exporter.processor = SimpleSpanProcessor(exporter)
        trace.get_tracer_provider().add_span_processor(exporter.processor)
    connect()
    test.addCleanup(disconnect)
    exporter.clear()


def spans(name):
    """Return the spans of this name that have ended, in that order."""
    return [span for span in exporter.get_finished_spans() if span.name == name]


def span(name):
    """Return the only span of this name that has ended."""
    [found] = spans(name)
    return found
