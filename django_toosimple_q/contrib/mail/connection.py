"""The backend that sends mail. This module hides the differences between releases of Django."""

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
    """Marks the backends that queue, whatever path they are imported from."""


def mailers_configured() -> bool:
    """Return whether the project has the setting MAILERS (Django 6.1)."""
    return hasattr(mail, "mailers") and hasattr(settings, "MAILERS")


def sending_backend(mailer: str | None) -> Any:
    """Return a new instance of the backend that sends mail, set to raise its errors.

    Without `mailer`, an alias of MAILERS, it is TOOSIMPLEQ_EMAIL_BACKEND. Raises
    `ImproperlyConfigured` for a backend that queues.
    """
    if mailer is None:
        name = conf.get("TOOSIMPLEQ_EMAIL_BACKEND")
        backend = _by_path(name)
    else:
        name = f"MAILERS[{mailer!r}]"
        backend = mail.mailers[mailer]
    if isinstance(backend, QueuesMail):
        raise ImproperlyConfigured(
            f"{name} queues its own mail for ever. Use a backend that sends mail."
        )
    return raising(backend)


def queueing_backend() -> Any:
    """Return a new instance of the project's default mail backend."""
    if mailers_configured():
        return raising(mail.mailers["default"])
    return _by_path("django_toosimple_q.contrib.mail.backends.QueueBackend")


def raising(backend: Any) -> Any:
    """Make a backend raise its errors, since only a raised error leads to a retry."""
    if vars(backend).get("fail_silently"):
        backend.fail_silently = False
    return backend


def close(backend: Any) -> None:
    """Close a connection. Ignore errors, since the server has answered every message by now."""
    with suppress(Exception):
        backend.close()


def reopen(backend: Any) -> bool:
    """Replace a connection by a new one, and return whether that succeeded."""
    close(backend)
    try:
        backend.open()
    except Exception:  # the next attempt reports the reason
        return False
    return True


def _by_path(path: str) -> Any:
    backend_class = import_string(path)
    if not hasattr(mail, "mailers"):
        return backend_class()
    # Django 6.1 deprecates backends that are made outside of MAILERS, and has already warned about
    # the project's settings. Warning filters are global: one thread at a time may change them.
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return backend_class()
