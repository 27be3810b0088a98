"""The Django app: loads `tasks.py` of every installed app into the registries."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class ToosimpleQConfig(AppConfig):
    name = "django_toosimple_q"
    label = "toosimpleq"
    verbose_name = _("Too Simple Queue")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_toosimple_q import checks, log  # noqa: F401  (both register themselves)
        from django_toosimple_q.contrib.celery.connect import connect as connect_celery
        from django_toosimple_q.contrib.tasks.connect import connect

        log.connect()
        connect()
        autodiscover_modules("tasks")
        connect_celery()
