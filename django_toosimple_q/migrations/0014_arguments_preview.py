"""Add the text of arguments that lists show and search, a permission, and a plural."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0013_schedule_pauses"),
    ]

    operations = [
        migrations.AddField(
            "taskexec",
            "arguments_preview",
            models.CharField(
                db_default="",
                default="",
                editable=False,
                help_text="The beginning of its arguments.",
                max_length=255,
            ),
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
                ],
                "verbose_name": "Task Execution",
                "verbose_name_plural": "Task Executions",
            },
        ),
        migrations.AlterModelOptions(
            "workerstatus",
            options={
                "verbose_name": "Worker Status",
                "verbose_name_plural": "Worker Statuses",
            },
        ),
    ]
