"""Change table settings that Django has no field or option for.

PostgreSQL vacuums the task table before dead rows slow it down. MariaDB and MySQL keep the queues
"Mail" and "mail" apart, and schedules likewise.
"""

from typing import Any

from django.db import migrations
from django_toosimple_q.databases import database_of


def set_up(apps: Any, schema_editor: Any) -> None:
    for sql in database_of(schema_editor.connection).table_settings:
        schema_editor.execute(sql)


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0003_upgrade_rows"),
    ]

    operations = [
        # Not in a transaction where a change of the table cannot be part of one.
        migrations.RunPython(set_up, migrations.RunPython.noop, atomic=False, elidable=False),
    ]
