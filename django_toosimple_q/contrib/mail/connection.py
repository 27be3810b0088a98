"""The backend that really sends; what differs between Django's releases here stands here alone."""

import threading
import warnings
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_toosimple_q import conf

_filters = threading.Lock()


class QueuesMail:
    """Marks the backends that queue, wherever they are imported from."""


def mailers_configured() -> bool:
    """Tell whether the project has the setting MAILERS (Django 6.1)."""
    return hasattr(mail, "mailers") and hasattr(settings, "MAILERS")


def sending_backend(mailer: str | None) -> Any:
    """Return a new instance of the backend that sends, made to raise its errors.

    It is the alias of MAILERS that is named, or else TOOSIMPLEQ_EMAIL_BACKEND. Raises
    `ImproperlyConfigured` for one that would queue again.
    """
    if mailer is None:
        name = conf.get("TOOSIMPLEQ_EMAIL_BACKEND")
        backend = _by_path(name)
    else:
        name = f"MAILERS[{mailer!r}]"
        backend = mail.mailers[mailer]
    if isinstance(backend, QueuesMail):
        raise ImproperlyConfigured(
            f"{name} queues its own mail for ever. Name a backend that sends."
        )
    return insistent(backend)


def queueing_backend() -> Any:
    """Return a new instance of the backend that the project sends its mail to by default."""
    if mailers_configured():
        return insistent(mail.mailers["default"])
    return _by_path("django_toosimple_q.contrib.mail.backends.QueueBackend")


def insistent(backend: Any) -> Any:
    """Make a backend raise its errors: one that is swallowed could not be retried."""
    if vars(backend).get("fail_silently"):
        backend.fail_silently = False
    return backend


def close(backend: Any) -> None:
    """Close a connection; by now every message has its answer, so an error says nothing."""
    with suppress(Exception):
        backend.close()


def reopen(backend: Any) -> bool:
    """Replace a connection by a fresh one; return whether there is one."""
    close(backend)
    try:
        backend.open()
    except Exception:  # the next attempt says why
        return False
    return True


def _by_path(path: str) -> Any:
    backend_class = import_string(path)
    if not hasattr(mail, "mailers"):
        return backend_class()
    # Django 6.1 deprecates backends made outside of MAILERS, and has told the project by its
    # settings. Filters belong to the process: one thread at a time may change them.
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return backend_class()
