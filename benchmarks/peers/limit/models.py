"""A table with the same columns and indexes as ours, but with plain Django fields in its model."""

from typing import Any

from django.db import models

from django_toosimple_q.models import TaskExec


def plain(field: models.Field) -> models.Field:
    """Return a plain Django field for the same column."""
    if field.is_relation:
        return models.BigIntegerField(null=field.null, db_column=field.column)
    if type(field).__module__.startswith("django.db.models"):
        return field.clone()
    return models.TextField(null=field.null)


def renamed(part: Any) -> Any:
    """Return a copy of an index or a constraint under another name."""
    copy = part.clone()
    copy.name = f"bench_{part.name}"[:30]
    return copy


class Row(models.Model):
    """A row that Django's own `create` writes."""

    class Meta:
        db_table = "bench_row"
        indexes = [renamed(index) for index in TaskExec._meta.indexes]
        constraints = [renamed(constraint) for constraint in TaskExec._meta.constraints]


for _field in TaskExec._meta.local_fields:
    if not _field.primary_key:
        Row.add_to_class(_field.name, plain(_field))
