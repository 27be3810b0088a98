"""Let schedules be paused, and remember which calls they queued last."""

from django.db import migrations, models

import django_toosimple_q.fields


class Migration(migrations.Migration):
    dependencies = [("toosimpleq", "0012_bulk_runs")]

    operations = [
        migrations.AddField(
            model_name="scheduleexec",
            name="paused",
            field=django_toosimple_q.fields.MomentField(
                blank=True, help_text="Since when it is paused.", null=True
            ),
        ),
        migrations.AddField(
            model_name="scheduleexec",
            name="recent",
            field=models.TextField(
                db_default="",
                default="",
                editable=False,
                help_text="The ids of the calls that it queued last, the newest first.",
            ),
        ),
        migrations.AlterModelOptions(
            name="scheduleexec",
            options={
                "permissions": [
                    ("force_run_scheduleexec", "Can force execution of schedules"),
                    ("pause_scheduleexec", "Can pause and resume schedules"),
                ],
                "verbose_name": "Schedule Execution",
                "verbose_name_plural": "Schedule Executions",
            },
        ),
    ]
