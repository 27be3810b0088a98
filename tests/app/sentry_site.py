"""A worker of a site that reports to Sentry, with tasks that tell it about themselves.

    SENTRY_EVENTS=events.json python -m tests.app.sentry_site worker --until_done

Each event is a line of JSON in that file. SENTRY_OPTIONS has more options of `init`, as JSON.
"""

import json
import os
import sys
from typing import Any

import sentry_sdk
from django.core.management import execute_from_command_line
from sentry_sdk.transport import Transport


class ToFile(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        with open(os.environ["SENTRY_EVENTS"], "a") as file:
            for item in envelope.items:
                if item.type in ("event", "transaction"):
                    file.write(json.dumps(item.payload.json, default=str) + "\n")


def define_tasks() -> None:
    import django

    django.setup()
    from django.contrib.auth.models import User

    from django_toosimple_q.decorators import register_task
    from django_toosimple_q.signals import worker_stopping

    def describe(key: str) -> Any:
        """Set what Sentry keeps about a request; return the query that a task makes."""
        sentry_sdk.set_user({"id": key})
        sentry_sdk.set_tag(f"tag_{key}", "set")
        sentry_sdk.add_breadcrumb(message=f"crumb {key}", category="test")
        return User.objects.filter(username=f"user of {key}")

    def report(key: str, fails: bool) -> None:
        if fails:
            raise ValueError(key)
        sentry_sdk.capture_message(key)

    def tell(key: str, fails: bool = False) -> None:
        describe(key).exists()
        report(key, fails)

    async def tell_async(key: str, fails: bool = False) -> None:
        await describe(key).aexists()
        report(key, fails)

    def stop(**kwargs: Any) -> None:
        sentry_sdk.capture_message("the worker stops")

    worker_stopping.connect(stop, weak=False)
    register_task(name="sentry.plain")(tell)
    register_task(name="sentry.atomic", atomic=True)(tell)
    register_task(name="sentry.async")(tell_async)


if __name__ == "__main__":
    options = json.loads(os.environ.get("SENTRY_OPTIONS", "{}"))
    sentry_sdk.init(dsn="https://key@localhost/1", transport=ToFile, **options)
    define_tasks()
    execute_from_command_line(sys.argv)
