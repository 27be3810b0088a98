"""Give the tables of figures and of limits names that are translated. No table changes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0016_trace_context"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="bulkrun",
            options={
                "default_permissions": (),
                "verbose_name": "Bulk Run",
                "verbose_name_plural": "Bulk Runs",
            },
        ),
        migrations.AlterModelOptions(
            name="concurrencykey",
            options={"verbose_name": "Concurrency Key", "verbose_name_plural": "Concurrency Keys"},
        ),
        migrations.AlterModelOptions(
            name="dismissal",
            options={"verbose_name": "Dismissal", "verbose_name_plural": "Dismissals"},
        ),
        migrations.AlterModelOptions(
            name="minute",
            options={"verbose_name": "Minute", "verbose_name_plural": "Minutes"},
        ),
    ]
