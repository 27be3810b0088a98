"""Remember which expression a schedule has followed so far."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("toosimpleq", "0007_moments_in_utc")]

    operations = [
        migrations.AddField(
            model_name="scheduleexec",
            name="expression",
            field=models.TextField(
                db_default="",
                default="",
                editable=False,
                help_text="The expression, with its time zone, that it has followed so far.",
            ),
        ),
    ]
