"""Vacuum the task table before its dead rows are felt, where the database leaves that to a setting."""

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
        migrations.RunPython(set_up, migrations.RunPython.noop, elidable=False),
    ]
