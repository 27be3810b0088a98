"""A project's own backend for `django_tasks`, where Django has `django.tasks` too."""

from django_toosimple_q.contrib.tasks.backport import ToosimpleQBackend


class OwnBackend(ToosimpleQBackend):
    pass
