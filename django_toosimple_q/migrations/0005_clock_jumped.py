"""Let workers record that the clock has jumped ahead."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("toosimpleq", "0004_table_settings")]

    operations = [
        migrations.AddField(
            model_name="workerstatus",
            name="clock_jumped",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When the clock last jumped ahead.",
                null=True,
            ),
        ),
    ]
