"""Add the permission to run a task with other arguments."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0014_arguments_preview"),
    ]

    operations = [
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
