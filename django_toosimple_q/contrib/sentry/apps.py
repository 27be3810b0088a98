"""The Django app: checks in with Sentry from each worker that has it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SentryConfig(AppConfig):
    name = "django_toosimple_q.contrib.sentry"
    label = "toosimpleq_sentry"
    verbose_name = _("Too Simple Queue: Sentry")

    def ready(self) -> None:
        from django_toosimple_q.contrib.sentry import check_ins

        check_ins.connect()
