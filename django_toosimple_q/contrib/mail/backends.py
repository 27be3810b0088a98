"""The mail backend that queues mail."""

import logging
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import Error as AnyDatabaseError
from django.db import transaction

from django_toosimple_q.contrib.mail.connection import QueuesMail, mailers_configured
from django_toosimple_q.contrib.mail.message import to_plain
from django_toosimple_q.contrib.mail.tasks import send_messages
from django_toosimple_q.store.transaction import queue_connection

logger = logging.getLogger("toosimpleq")

APP = "django_toosimple_q.contrib.mail"


class QueueBackend(QueuesMail, BaseEmailBackend):
    """Stores mail as calls of a task. A worker sends it through another backend.

        EMAIL_BACKEND = "django_toosimple_q.contrib.mail.backends.QueueBackend"
        TOOSIMPLEQ_EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"  # the default

    With MAILERS (Django 6.1), the option `mailer` names the alias that sends:

        MAILERS = {
            "default": {
                "BACKEND": "django_toosimple_q.contrib.mail.backends.QueueBackend",
                "OPTIONS": {"mailer": "smtp"},
            },
            "smtp": {"OPTIONS": {"host": "mail.example.com"}},
        }

    The worker sends with the settings of that backend. It ignores the user name and password of
    `send_mail(auth_user=…)`, so that no password is stored in the queue's table.
    """

    def __init__(
        self, fail_silently: bool = False, *, mailer: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.fail_silently = fail_silently
        self.mailer = mailer
        if not apps.is_installed(APP):
            raise ImproperlyConfigured(
                f"QueueBackend needs {APP!r} in INSTALLED_APPS. Without it, workers do not have "
                "the task that sends mail. Add it."
            )
        if mailer is not None and not mailers_configured():
            raise ImproperlyConfigured(
                f"QueueBackend got mailer={mailer!r}, but the setting MAILERS does not exist. "
                "Use TOOSIMPLEQ_EMAIL_BACKEND instead."
            )
        if mailer is not None and mailer == getattr(self, "alias", None):
            raise ImproperlyConfigured(
                f"MAILERS[{mailer!r}] queues mail and names itself as the mailer that sends it. "
                "Name another alias."
            )

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Queue the messages that have recipients as one call, and return how many they are.

        The call is part of the caller's transaction. A message that cannot be rendered raises
        here, as if it were sent at once. With `fail_silently`, a database error is logged and 0
        is returned. The caller's transaction stays usable.
        """
        plain = [to_plain(message) for message in email_messages or () if message.recipients()]
        if not plain:
            return 0
        if not self.fail_silently:
            send_messages.queue(plain, mailer=self.mailer)
            return len(plain)
        try:
            with transaction.atomic(using=queue_connection().alias):
                send_messages.queue(plain, mailer=self.mailer)
        except AnyDatabaseError:
            logger.warning("mail not queued: messages=%s", len(plain), exc_info=True)
            return 0
        return len(plain)
