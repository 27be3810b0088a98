"""System checks: settings with which mail would never be sent."""

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
    """Find a project that installs the mail app without the queue."""
    if apps.is_installed("django_toosimple_q"):
        return []
    return [
        Error(
            '"django_toosimple_q.contrib.mail" is installed, but "django_toosimple_q" is not.',
            hint='Add "django_toosimple_q" to INSTALLED_APPS.',
            id="toosimpleq.E101",
        )
    ]


@register
def check_email_backend(app_configs: Any, **kwargs: Any) -> Messages:
    """Find a TOOSIMPLEQ_EMAIL_BACKEND that cannot be imported, or that queues mail itself."""
    path = conf.get("TOOSIMPLEQ_EMAIL_BACKEND")
    try:
        import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        return [
            Error(
                f"TOOSIMPLEQ_EMAIL_BACKEND = {path!r} cannot be imported: {error}",
                hint='Use the path of a backend that sends, such as "django.core.mail.backends.'
                'smtp.EmailBackend".',
                id="toosimpleq.E002",
            )
        ]
    if str(path).startswith("django_toosimple_q.contrib.mail"):
        return [
            Error(
                f"TOOSIMPLEQ_EMAIL_BACKEND = {path!r} would queue its own mail for ever.",
                hint="Set it to a backend that sends mail. Only EMAIL_BACKEND is to queue it.",
                id="toosimpleq.E003",
            )
        ]
    return []


@register
def check_sending_backend(app_configs: Any, **kwargs: Any) -> Messages:
    """Find a TOOSIMPLEQ_EMAIL_BACKEND that is a subclass of a backend that queues."""
    path = conf.get("TOOSIMPLEQ_EMAIL_BACKEND")
    if not queues(path) or str(path).startswith("django_toosimple_q.contrib.mail"):
        return []  # toosimpleq.E003 reports our own backend
    return [
        Error(
            f"TOOSIMPLEQ_EMAIL_BACKEND = {path!r} is a QueueBackend, so it would queue its own "
            "mail for ever.",
            hint="Use a backend that sends mail.",
            id="toosimpleq.E102",
        )
    ]


@register
def check_mailers(app_configs: Any, **kwargs: Any) -> Messages:
    """Find aliases of MAILERS that queue mail that no other alias sends."""
    mailers = getattr(settings, "MAILERS", {}) if mailers_configured() else {}
    messages: Messages = []
    for alias, config in mailers.items():
        if queues(config.get("BACKEND")):
            messages += problems_of(alias, config.get("OPTIONS", {}).get("mailer"), mailers)
    return messages


def problems_of(alias: str, mailer: str | None, mailers: dict[str, Any]) -> Messages:
    """Return the problems of the mailer that is to send for an alias that queues."""
    if mailer is None:
        return _problems_without_mailer(alias)
    if mailer not in mailers:
        return [
            Error(
                f"MAILERS[{alias!r}] queues mail for the mailer {mailer!r}, which does not exist "
                "in MAILERS.",
                hint=f"Use one of its aliases: {', '.join(map(repr, mailers))}.",
                id="toosimpleq.E103",
            )
        ]
    if mailer == alias or queues(mailers[mailer].get("BACKEND")):
        return [
            Error(
                f"MAILERS[{alias!r}] queues mail for the mailer {mailer!r}, which also queues it.",
                hint='Set the option "mailer" to an alias whose BACKEND sends mail.',
                id="toosimpleq.E104",
            )
        ]
    return []


def queues(path: Any) -> bool:
    """Return whether a path names a backend that queues; False if it cannot be imported."""
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
            f"MAILERS[{alias!r}] queues mail but names no mailer that sends it. When MAILERS is "
            f"set, TOOSIMPLEQ_EMAIL_BACKEND = {path!r} has no host.",
            hint='Add an alias that sends, such as "smtp", and "OPTIONS": {"mailer": "smtp"}.',
            id="toosimpleq.E105",
        )
    ]
