"""The import path of the backend in django-toosimple-q 1.x. Mail that 1.x queued refers to it."""

from django_toosimple_q.contrib.mail.backends import QueueBackend

__all__ = ["QueueBackend"]
