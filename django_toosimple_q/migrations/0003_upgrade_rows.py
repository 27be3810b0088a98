from django.db import migrations

from django_toosimple_q.store import upgrade


def bring_up_to_date(apps, schema_editor):
    """Sign the payloads of django-toosimple-q 1.x, and give waiting rows their queue."""
    upgrade.sign_rows(schema_editor.connection)
    upgrade.set_queues(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("toosimpleq", "0002_queue_columns")]

    # Downwards there is nothing to undo: 1.x does not read these columns.
    operations = [migrations.RunPython(bring_up_to_date, migrations.RunPython.noop)]
