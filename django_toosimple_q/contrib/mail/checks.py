"""System checks: mail that would never go out."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.utils.module_loading import import_string

from django_toosimple_q import conf
from django_toosimple_q.contrib.mail.connection import QueuesMail, mailers_configured

Messages = list[CheckMessage]


@register
def check_queue_is_installed(app_configs: Any, **kwargs: Any) -> Messages:
    """Find the mail app without the queue."""
    if apps.is_installed("django_toosimple_q"):
        return []
    return [
        Error(
            '"django_toosimple_q.contrib.mail" is installed and "django_toosimple_q" is not.',
            hint='Add "django_toosimple_q" to INSTALLED_APPS.',
            id="toosimpleq.E101",
        )
    ]


@register
def check_sending_backend(app_configs: Any, **kwargs: Any) -> Messages:
    """Find a TOOSIMPLEQ_EMAIL_BACKEND that queues under another name."""
    path = conf.get("TOOSIMPLEQ_EMAIL_BACKEND")
    if not queues(path) or str(path).startswith("django_toosimple_q.contrib.mail"):
        return []  # the latter is toosimpleq.E003
    return [
        Error(
            f"TOOSIMPLEQ_EMAIL_BACKEND = {path!r} is a QueueBackend and would queue its own mail "
            "for ever.",
            hint="Name the backend that sends.",
            id="toosimpleq.E102",
        )
    ]


@register
def check_mailers(app_configs: Any, **kwargs: Any) -> Messages:
    """Find aliases of MAILERS that queue and have nobody who sends."""
    mailers = getattr(settings, "MAILERS", {}) if mailers_configured() else {}
    messages: Messages = []
    for alias, config in mailers.items():
        if queues(config.get("BACKEND")):
            messages += problems_of(alias, config.get("OPTIONS", {}).get("mailer"), mailers)
    return messages


def problems_of(alias: str, mailer: str | None, mailers: dict[str, Any]) -> Messages:
    """Return what is wrong with the mailer that sends for an alias that queues."""
    if mailer is None:
        return _problems_without_mailer(alias)
    if mailer not in mailers:
        return [
            Error(
                f"MAILERS[{alias!r}] queues mail for the mailer {mailer!r}, which MAILERS does not "
                "have.",
                hint=f"Name one of its aliases: {', '.join(map(repr, mailers))}.",
                id="toosimpleq.E103",
            )
        ]
    if mailer == alias or queues(mailers[mailer].get("BACKEND")):
        return [
            Error(
                f"MAILERS[{alias!r}] queues mail for the mailer {mailer!r}, which queues as well.",
                hint='Let the option "mailer" name an alias whose BACKEND sends.',
                id="toosimpleq.E104",
            )
        ]
    return []


def queues(path: Any) -> bool:
    """Tell whether a path is that of a backend that queues; the unreadable is not for us."""
    try:
        backend_class = import_string(path)
    except (ImportError, AttributeError, TypeError):
        return False
    return isinstance(backend_class, type) and issubclass(backend_class, QueuesMail)


def _problems_without_mailer(alias: str) -> Messages:
    path = conf.get("TOOSIMPLEQ_EMAIL_BACKEND")
    try:
        backend_class = import_string(path)
    except (ImportError, AttributeError, TypeError):
        return []  # toosimpleq.E002
    if not (isinstance(backend_class, type) and issubclass(backend_class, SMTPBackend)):
        return []
    return [
        Error(
            f"MAILERS[{alias!r}] queues mail and names no mailer that sends; "
            f"TOOSIMPLEQ_EMAIL_BACKEND = {path!r} has no host where MAILERS is set.",
            hint='Add an alias that sends, say "smtp", and "OPTIONS": {"mailer": "smtp"}.',
            id="toosimpleq.E105",
        )
    ]
