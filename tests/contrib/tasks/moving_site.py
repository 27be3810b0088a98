"""Settings of a site that leaves django-tasks-db for this queue, and what happens on it.

Run as a program it prints, as JSON, what the tests look at.
"""

import io
import json
import os
import sys
from datetime import timedelta

from tests.contrib.tasks.aliases import BACKEND
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks_db"]
TASKS = {
    "default": {"BACKEND": BACKEND, "QUEUES": []},
    "any": {"BACKEND": BACKEND, "QUEUES": []},
    "old": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []},
}


def run() -> None:
    import django
    from django.apps import apps
    from django.core.management import CommandError, call_command

    django.setup()
    from django.utils import timezone

    from django_toosimple_q.contrib.tasks.framework import loaded
    from django_toosimple_q.models import TaskExec
    from tests.contrib.tasks import lazy

    call_command("migrate", verbosity=0)
    old = lazy.found.using(backend="old")
    old.enqueue("plain")
    old.using(priority=7, queue_name="mail").enqueue("placed")
    # Its arguments do not fit the function.
    misfit = old.enqueue("misfit").id
    old.using(run_after=timezone.now() + timedelta(days=1)).enqueue("later")
    model = apps.get_model("django_tasks_database", "DBTaskResult")
    gone = old.enqueue("gone").id
    model.objects.filter(pk=gone).update(task_path="tests.contrib.tasks.lazy.gone")
    model.objects.filter(pk=misfit).update(args_kwargs={"args": [1, 2, 3], "kwargs": {}})
    running = old.enqueue("running").id
    model.objects.filter(pk=running).update(status="RUNNING")
    finished = old.enqueue("finished").id
    model.objects.filter(pk=finished).update(status="SUCCESSFUL")

    told, failed = {}, {}
    for name, options in (("dry", {"dry_run": True}), ("real", {}), ("again", {})):
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command("import_db_tasks", stdout=out, stderr=err, verbosity=2, **options)
        except CommandError as error:
            failed[name] = str(error)
        told[name] = [out.getvalue(), err.getvalue()]
    rows = TaskExec.objects.order_by("pk")
    found = {
        "rows": [[row.args, row.state, row.priority, row.queue, row.task_name] for row in rows],
        "left": sorted(model.objects.values_list("status", flat=True)),
        "told": told,
        "failed": failed,
        "lines": len(loaded()),
    }
    call_command("worker", "--until_done", "--no_schedules", verbosity=0)
    found["states"] = list(rows.values_list("state", flat=True))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.contrib.tasks.moving_site"
    run()
