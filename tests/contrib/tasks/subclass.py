"""A project's own backend."""

from django_toosimple_q.contrib.tasks import ToosimpleQBackend


class OwnBackend(ToosimpleQBackend):
    pass
