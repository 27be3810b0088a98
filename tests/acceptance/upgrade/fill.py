"""Run with 1.x installed: leave rows in every state."""

import os
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

# ruff: noqa: E402
from django.core.management import call_command
from django.utils import timezone

from django_toosimple_q.models import TaskExec, WorkerStatus
from shop.tasks import add, fail, later, refresh

call_command("migrate", verbosity=0)
add.queue(1, 2)
fail.queue()
call_command("worker", "--until_done", "--label=first")
add.queue(3, b=4)
refresh.queue("k")
later.queue(due=timezone.now() - timedelta(minutes=1))
later.queue(due=timezone.now() + timedelta(days=100))
TaskExec.objects.create(task_name="gone", state="INVALID")
dead = WorkerStatus.objects.create(
    label="dead", last_tick=timezone.now() - timedelta(days=1), timeout=timedelta(minutes=1)
)
TaskExec.objects.create(task_name="add", args=(5, 6), state="PROCESSING", worker=dead)
TaskExec.objects.create(task_name="add", args=(7, 8), state="INTERRUPTED")
