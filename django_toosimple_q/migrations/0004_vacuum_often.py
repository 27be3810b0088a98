"""Set up the tables as their database needs it.

PostgreSQL vacuums the task table before its dead rows are felt; MariaDB and MySQL tell "Mail" from
"mail", queues and schedules alike.
"""

from typing import Any

from django.db import migrations
from django_toosimple_q.store.dialect import dialect_of


def set_up(apps: Any, schema_editor: Any) -> None:
    for sql in dialect_of(schema_editor.connection).table_settings:
        schema_editor.execute(sql)


class Migration(migrations.Migration):
    dependencies = [
        ("toosimpleq", "0003_upgrade_rows"),
    ]

    operations = [
        # Not in a transaction where a change of the table cannot be part of one.
        migrations.RunPython(set_up, migrations.RunPython.noop, atomic=False, elidable=False),
    ]
