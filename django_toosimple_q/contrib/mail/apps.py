"""The Django app: brings the task that sends, and the checks of how mail is configured."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailConfig(AppConfig):
    name = "django_toosimple_q.contrib.mail"
    label = "toosimpleq_mail"
    verbose_name = _("Too Simple Queue: mail")

    def ready(self) -> None:
        from django_toosimple_q.contrib.mail import checks  # noqa: F401  (registers itself)
