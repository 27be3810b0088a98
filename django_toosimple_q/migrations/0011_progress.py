"""Add the progress that a running task reports."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0010_dismissals"),
    ]

    operations = [
        migrations.AddField("taskexec", "progress_done", models.FloatField(blank=True, null=True)),
        migrations.AddField("taskexec", "progress_total", models.FloatField(blank=True, null=True)),
        migrations.AddField(
            "taskexec",
            "progress_message",
            models.CharField(blank=True, max_length=255, null=True),
        ),
    ]
