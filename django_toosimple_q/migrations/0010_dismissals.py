"""Remember which failures a person has dismissed on the dashboard; permit some to cancel calls."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0009_minutes"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="taskexec",
            options={
                "permissions": [
                    ("requeue_taskexec", "Can requeue tasks"),
                    ("cancel_taskexec", "Can cancel tasks"),
                ],
                "verbose_name": "Task Execution",
                "verbose_name_plural": "Task Executions",
            },
        ),
        migrations.CreateModel(
            name="Dismissal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("task_name", models.CharField(max_length=255)),
                ("error_type", models.CharField(blank=True, max_length=255)),
                ("dismissed", models.DateTimeField()),
            ],
        ),
    ]
