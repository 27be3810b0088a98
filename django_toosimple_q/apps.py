"""The Django app: loads `tasks.py` of every installed app into the registries."""

from django.apps import AppConfig, apps
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from django_toosimple_q import faces


class ToosimpleQConfig(AppConfig):
    name = "django_toosimple_q"
    label = "toosimpleq"
    verbose_name = _("Too Simple Queue")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_toosimple_q import checks, log  # noqa: F401  (both register themselves)

        log.connect()
        autodiscover_modules("tasks")
        if apps.is_installed("django.contrib.admin"):
            from django_toosimple_q import bulk_task  # noqa: F401  (registers itself)
        faces.load_task_backends()
        faces.connect_all()
