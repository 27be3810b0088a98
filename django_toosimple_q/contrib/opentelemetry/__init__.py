"""Trace calls with OpenTelemetry: a span for what queues them, and a span for each attempt.

INSTALLED_APPS = [..., "django_toosimple_q.contrib.opentelemetry"]
"""
