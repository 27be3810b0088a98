"""The Django app, for a project whose TASKS are not in its settings when it starts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TasksConfig(AppConfig):
    name = "django_toosimple_q.contrib.tasks"
    label = "toosimpleq_tasks"
    verbose_name = _("Too Simple Queue: Django tasks")

    def ready(self) -> None:
        from django_toosimple_q.contrib.tasks import backend  # noqa: F401  (connects itself)
