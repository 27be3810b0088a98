"""Add what the page of a call shows, and the permission to run a task with other arguments."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0014_arguments_preview"),
    ]

    operations = [
        migrations.AddField(
            "taskexec",
            "output_tail",
            models.TextField(
                blank=True, help_text="The end of what it has printed while it ran.", null=True
            ),
        ),
        migrations.AddField(
            "taskexec",
            "log_records",
            models.TextField(blank=True, help_text="What it has logged, as JSON.", null=True),
        ),
        migrations.AlterModelOptions(
            "taskexec",
            options={
                "permissions": [
                    ("requeue_taskexec", "Can requeue tasks"),
                    ("cancel_taskexec", "Can cancel tasks"),
                    (
                        "reschedule_taskexec",
                        "Can change priority, queue and due date of waiting tasks",
                    ),
                    ("run_taskexec", "Can run tasks with other arguments"),
                ],
                "verbose_name": "Task Execution",
                "verbose_name_plural": "Task Executions",
            },
        ),
    ]
