"""The Django app: provides the task that sends mail, and the system checks of mail settings."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailConfig(AppConfig):
    name = "django_toosimple_q.contrib.mail"
    label = "toosimpleq_mail"
    verbose_name = _("Too Simple Queue: mail")

    def ready(self) -> None:
        from django_toosimple_q.contrib.mail import checks  # noqa: F401  (registers itself)
