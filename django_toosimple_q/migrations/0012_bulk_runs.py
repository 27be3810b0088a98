"""Keep how far the actions on very many calls have come."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0011_progress"),
    ]

    operations = [
        migrations.CreateModel(
            name="BulkRun",
            fields=[
                (
                    "call",
                    models.BigIntegerField(
                        help_text="The first attempt of the task that acts.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "last",
                    models.BigIntegerField(
                        default=0, help_text="The last row that it has reached."
                    ),
                ),
                (
                    "total",
                    models.BigIntegerField(default=0, help_text="How many rows matched at first."),
                ),
                ("reached", models.BigIntegerField(default=0)),
                ("changed", models.BigIntegerField(default=0)),
                (
                    "refused",
                    models.TextField(default="", help_text="Why the first refused row was."),
                ),
                ("began", models.DateTimeField()),
                ("ended", models.DateTimeField(null=True)),
            ],
            options={"default_permissions": ()},
        ),
    ]
