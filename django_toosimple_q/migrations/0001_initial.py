"""The tables of django-toosimple-q 1.x, so that a site running it upgrades in place.

There this migration is recorded already, and columns for names hold 1024 characters; here they
hold 255, which is what a unique index on MariaDB takes. Nothing depends on the difference.
"""

import datetime

import django.db.models.deletion
import django.utils.timezone
import picklefield.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="WorkerStatus",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("label", models.CharField(max_length=255, unique=True)),
                ("included_queues", models.JSONField(default=list)),
                ("excluded_queues", models.JSONField(default=list)),
                ("timeout", models.DurationField(default=datetime.timedelta(hours=1))),
                ("last_tick", models.DateTimeField(default=django.utils.timezone.now)),
                ("started", models.DateTimeField(default=django.utils.timezone.now)),
                ("stopped", models.DateTimeField(null=True, blank=True)),
                ("exit_code", models.IntegerField(null=True, blank=True)),
                ("exit_log", models.TextField(null=True, blank=True)),
            ],
            options={
                "verbose_name": "Worker Status",
                "verbose_name_plural": "Workers Statuses",
            },
        ),
        migrations.CreateModel(
            name="TaskExec",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("task_name", models.CharField(max_length=255)),
                ("args", picklefield.fields.PickledObjectField(default=list, editable=False)),
                ("kwargs", picklefield.fields.PickledObjectField(default=dict, editable=False)),
                ("retries", models.IntegerField(default=0)),
                ("retry_delay", models.IntegerField(default=0)),
                ("due", models.DateTimeField(default=django.utils.timezone.now)),
                ("created", models.DateTimeField(default=django.utils.timezone.now)),
                ("started", models.DateTimeField(null=True, blank=True)),
                ("finished", models.DateTimeField(null=True, blank=True)),
                ("state", models.CharField(max_length=32, default="QUEUED")),
                ("result", picklefield.fields.PickledObjectField(null=True, editable=False)),
                ("result_preview", models.CharField(max_length=255, null=True, blank=True)),
                ("error", models.TextField(null=True, blank=True)),
                ("stdout", models.TextField(default="", blank=True)),
                ("stderr", models.TextField(default="", blank=True)),
                (
                    "replaced_by",
                    models.ForeignKey(
                        null=True,
                        blank=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="toosimpleq.taskexec",
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        null=True,
                        blank=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="toosimpleq.workerstatus",
                    ),
                ),
            ],
            options={
                "verbose_name": "Task Execution",
                "verbose_name_plural": "Task Executions",
                "permissions": [("requeue_taskexec", "Can requeue tasks")],
            },
        ),
        migrations.CreateModel(
            name="ScheduleExec",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=255, unique=True)),
                ("last_due", models.DateTimeField(null=True, blank=True)),
                ("state", models.CharField(max_length=32, default="ACTIVE")),
                (
                    "last_task",
                    models.ForeignKey(
                        null=True,
                        blank=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="toosimpleq.taskexec",
                    ),
                ),
            ],
            options={
                "verbose_name": "Schedule Execution",
                "verbose_name_plural": "Schedule Executions",
                "permissions": [("force_run_scheduleexec", "Can force execution of schedules")],
            },
        ),
    ]
