"""`Celery("name")`: what projects do with their app object, as far as it means something here."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from django.conf import settings

from django_toosimple_q.contrib.celery import canvas
from django_toosimple_q.contrib.celery.exceptions import NotSupported
from django_toosimple_q.contrib.celery.result import AsyncResult
from django_toosimple_q.contrib.celery.task import shared_task

SETTINGS = ("django.conf:settings", "CELERY")

# Packages whose modules of a name are to be imported once the apps are ready.
discovered: list[tuple[str, str]] = []


class Celery:
    """Stands for a project's app: its tasks are `shared_task`s, its configuration the settings."""

    AsyncResult = AsyncResult
    task = staticmethod(shared_task)
    signature = staticmethod(canvas.signature)

    def __init__(self, main: str = "", *args: Any, **kwargs: Any) -> None:
        self.main = main

    def config_from_object(self, obj: Any, namespace: str | None = None, **kwargs: Any) -> None:
        """Accept ("django.conf:settings", namespace="CELERY"): those settings are read anyway."""
        if (obj, namespace) != SETTINGS:
            raise NotSupported(
                f"configuration from {obj!r}, namespace={namespace!r}, is not read here. "
                "Write CELERY_… settings into the project's settings."
            )

    def autodiscover_tasks(
        self,
        packages: Any = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Have `related_name` of these packages imported once the apps are ready.

        Every app's tasks.py is imported anyway; without packages, each app's `related_name`.
        """
        named = packages() if callable(packages) else packages
        if named is None and related_name in (None, "tasks"):
            return
        names = settings.INSTALLED_APPS if named is None else named
        discovered.extend((package, related_name or "tasks") for package in names)

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Queue a call of a task, given its name. Raises `NotRegistered`."""
        return canvas.find(name).apply_async(args, kwargs, **options)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotSupported(
            f"app.{name} is not available here. Periodic tasks go into CELERY_BEAT_SCHEDULE, "
            "other configuration into CELERY_… settings."
        )
