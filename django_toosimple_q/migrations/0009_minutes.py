"""Count what ends by minute and task, for the figures that the admin and metrics show."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django_toosimple_q.databases import database_of

COUNTS = (
    *("done", "failures", "retried", "interrupted"),
    *(f"{kind}_{number}" for kind in ("run", "wait") for number in range(23)),
)
HELP = {
    "failures": "For good: FAILED or INVALID.",
    "retried": "Another attempt follows.",
    "interrupted": "Cut off or expired for good.",
}


def set_up(apps: Any, schema_editor: Any) -> None:
    for sql in database_of(schema_editor.connection).minute_settings:
        schema_editor.execute(sql)


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0008_schedule_expression"),
    ]

    operations = [
        migrations.CreateModel(
            name="Minute",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "minute",
                    models.IntegerField(
                        help_text="When the span begins, in minutes since 1970 (UTC)."
                    ),
                ),
                ("span", models.IntegerField(default=1, help_text="Its length in minutes.")),
                (
                    "worker",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="toosimpleq.workerstatus",
                    ),
                ),
                ("task_name", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("run_seconds", models.FloatField(default=0)),
                (
                    "wait_seconds",
                    models.FloatField(default=0, help_text="From their due date to their start."),
                ),
                *(
                    (name, models.IntegerField(default=0, help_text=HELP.get(name, "")))
                    for name in COUNTS
                ),
            ],
            options={
                "indexes": [models.Index(fields=["span", "minute"], name="toosimpleq_by_minute")],
            },
        ),
        # Not in a transaction where a change of the table cannot be part of one.
        migrations.RunPython(set_up, migrations.RunPython.noop, atomic=False, elidable=False),
    ]
