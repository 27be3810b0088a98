"""A worker of a site that traces its calls, with the SDK's own processor of spans.

    SPANS=spans.json python -m tests.app.tracing_site worker --until_done

Each span is a line of JSON in that file, with the process that has exported it.
"""

import json
import os
import sys
from collections.abc import Sequence

from django.core.management import execute_from_command_line
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

# None of the spans is sent in time: what is not flushed at the end is lost.
NEVER_MILLISECONDS = 3_600_000


class ToFile(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with open(os.environ["SPANS"], "a") as file:
            for span in spans:
                file.write(json.dumps({**json.loads(span.to_json()), "pid": os.getpid()}) + "\n")
        return SpanExportResult.SUCCESS


def start() -> None:
    import django
    from django.conf import settings

    settings.INSTALLED_APPS = [
        *settings.INSTALLED_APPS,
        "django_toosimple_q.contrib.opentelemetry",
    ]
    django.setup()
    provider = TracerProvider()
    processor = BatchSpanProcessor(ToFile(), schedule_delay_millis=NEVER_MILLISECONDS)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)


if __name__ == "__main__":
    start()
    execute_from_command_line(sys.argv)
