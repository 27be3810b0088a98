"""Store all datetimes in UTC, whatever zone the settings name."""

from typing import Any

from django.db import migrations

from django_toosimple_q.store import upgrade_moments


def to_utc(apps: Any, schema_editor: Any) -> None:
    upgrade_moments.to_utc(schema_editor.connection)


def from_utc(apps: Any, schema_editor: Any) -> None:
    upgrade_moments.from_utc(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("toosimpleq", "0006_code_versions")]

    operations = [migrations.RunPython(to_utc, from_utc, elidable=False)]
