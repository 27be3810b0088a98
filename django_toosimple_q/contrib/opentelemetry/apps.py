"""The Django app: traces calls in each process that has it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OpenTelemetryConfig(AppConfig):
    name = "django_toosimple_q.contrib.opentelemetry"
    label = "toosimpleq_opentelemetry"
    verbose_name = _("Too Simple Queue: OpenTelemetry")

    def ready(self) -> None:
        from django_toosimple_q.contrib.opentelemetry import connect

        connect.connect()
