"""Indexes of some rows only, so that they do not grow with the number of finished rows."""

from collections.abc import Sequence
from typing import Any

from django.db.models import F, Index, Q, UniqueConstraint

from django_toosimple_q.databases import supports_partial_indexes


class PartialIndex(Index):
    """An index of the rows that fulfil `condition`.

    MariaDB and MySQL have no partial indexes. There it covers all rows, with `prefix` as its
    first columns, which serves the same queries.
    """

    prefix: tuple[str, ...] = ()

    def __init__(self, *columns: str, name: str) -> None:
        self.columns = columns
        super().__init__(fields=list(columns), name=name)

    def only(self) -> Q:
        """Return the condition of the rows that the index covers."""
        raise NotImplementedError  # pragma: no cover

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, _, _ = super().deconstruct()
        return path, self.columns, {"name": self.name}

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        if supports_partial_indexes(schema_editor.connection):
            index = Index(*map(_ordered, self.columns), name=self.name, condition=self.only())
        else:
            columns = dict.fromkeys((*self.prefix, *self.columns))
            index = Index(*map(_ordered, columns), name=self.name)
        return index.create_sql(model, schema_editor, using=using, **kwargs)


class StateIndex(PartialIndex):
    """An index of the rows in one of `states`."""

    prefix = ("state",)

    def __init__(self, *columns: str, states: Sequence[str], name: str) -> None:
        self.states = list(states)
        super().__init__(*columns, name=name)

    def only(self) -> Q:
        # SQLite uses the index for `state = …` only when its condition is spelt the same way.
        return Q(state=self.states[0]) if len(self.states) == 1 else Q(state__in=self.states)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, columns, kwargs = super().deconstruct()
        return path, columns, {"states": self.states, **kwargs}


class SparseIndex(PartialIndex):
    """An index of the rows in which a column is set."""

    def only(self) -> Q:
        return Q(**{f"{self.columns[0]}__isnull": False})


class SparseUnique(UniqueConstraint):
    """A unique constraint that excludes rows without a value, also from its index."""

    def __init__(self, field: str, *, name: str) -> None:
        super().__init__(fields=[field], name=name)

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        path, _, _ = super().deconstruct()
        return path, self.fields, {"name": self.name}

    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        return self._suited(schema_editor).constraint_sql(model, schema_editor)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        return self._suited(schema_editor).create_sql(model, schema_editor)

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        return self._suited(schema_editor).remove_sql(model, schema_editor)

    def _suited(self, schema_editor: Any) -> UniqueConstraint:
        only = None
        if supports_partial_indexes(schema_editor.connection):
            only = Q(**{f"{self.fields[0]}__isnull": False})
        return UniqueConstraint(fields=self.fields, condition=only, name=self.name)


def _ordered(column: str) -> Any:
    return F(column[1:]).desc() if column.startswith("-") else F(column)
