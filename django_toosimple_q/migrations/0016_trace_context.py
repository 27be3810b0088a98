"""Add the trace context that a call comes from."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0015_task_page"),
    ]

    operations = [
        migrations.AddField(
            "taskexec",
            "trace_context",
            models.CharField(editable=False, max_length=568, null=True),
        ),
    ]
