"""The path of the backend in django-toosimple-q 1.x; the mail queued by it refers to it too."""

from django_toosimple_q.contrib.mail.backends import QueueBackend

__all__ = ["QueueBackend"]
