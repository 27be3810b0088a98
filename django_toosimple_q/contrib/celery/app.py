"""`Celery("name")`: the methods of an app object that have a meaning on this queue."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from django.conf import settings

from django_toosimple_q.contrib.celery import canvas
from django_toosimple_q.contrib.celery.exceptions import NotSupported
from django_toosimple_q.contrib.celery.result import AsyncResult
from django_toosimple_q.contrib.celery.task import shared_task

SETTINGS = ("django.conf:settings", "CELERY")

# Packages, each with the name of the module to import from it once the apps are ready.
discovered: list[tuple[str, str]] = []


class Celery:
    """A project's app. Its tasks are `shared_task`s, and its configuration is the settings."""

    AsyncResult = AsyncResult
    task = staticmethod(shared_task)
    signature = staticmethod(canvas.signature)

    def __init__(self, main: str = "", *args: Any, **kwargs: Any) -> None:
        self.main = main

    def config_from_object(self, obj: Any, namespace: str | None = None, **kwargs: Any) -> None:
        """Accept ("django.conf:settings", namespace="CELERY"). They are read in any case."""
        if (obj, namespace) != SETTINGS:
            raise NotSupported(
                f"configuration from {obj!r} with namespace={namespace!r} is not available here. "
                "Put CELERY_… settings into the project's settings."
            )

    def autodiscover_tasks(
        self,
        packages: Any = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import the module `related_name` of these packages once the apps are ready.

        `packages` defaults to all installed apps. Every app's tasks.py is imported in any case.
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
        """Queue a call of the task with this name. Raises `NotRegistered`."""
        return canvas.find(name).apply_async(args, kwargs, **options)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotSupported(
            f"app.{name} is not available here. Put periodic tasks into CELERY_BEAT_SCHEDULE, "
            "and other configuration into CELERY_… settings."
        )
