"""Rows of models as arguments: they travel as a reference, and are loaded again when the task runs.

A pickled row would show the task what it was when it was queued.
"""

import pickle
from contextvars import ContextVar
from io import BytesIO
from typing import Any, NamedTuple

from django.apps import apps
from django.db import router
from django.db.models import Model, QuerySet

from django_toosimple_q.exceptions import NoReference, RowGone

# What can be no row, nor hold one.
ATOMS = frozenset({int, str, float, bool, bytes, type(None)})

# Whether rows are loaded as arguments are opened; elsewhere their references stand for them.
loading: ContextVar[bool] = ContextVar("toosimpleq_loading", default=False)


class Reference(NamedTuple):
    """Which row of which model, in which database: what a task's argument is until it runs.

    Equals the row that it stands for.
    """

    app_label: str
    model_name: str
    pk: Any
    database: str

    def get(self) -> Model:
        """Load the row. Raises `RowGone` when there is none, LookupError without its model."""
        model: Any = apps.get_model(self.app_label, self.model_name)
        row: Model | None = model._base_manager.using(self.database).filter(pk=self.pk).first()
        if row is None:
            raise RowGone(
                f"{model._meta.label} {self.pk!r} is gone from the database {self.database!r}"
            )
        return row

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Model):
            return not is_unsaved(other) and tuple(self) == tuple(reference_to(other))
        return isinstance(other, Reference) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<{self.app_label}.{self.model_name} {self.pk!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return load, tuple(self)


class ReferencePickler(pickle.Pickler):
    """Pickles rows of models as references, wherever in a value they are."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Model):
            return load, tuple(reference_to(value))
        if isinstance(value, QuerySet):
            raise NoReference(
                f"a QuerySet of {value.model._meta.label} would be read now and stored whole. "
                'Pass ids, such as list(rows.values_list("pk", flat=True))'
            )
        return NotImplemented


def dumps(value: Any, protocol: int) -> bytes:
    """Pickle arguments, rows of models as references.

    Raises `NoReference` for an unsaved row and for a QuerySet, and whatever pickling raises.
    """
    items = value.values() if type(value) is dict else value
    # A pickler of our own takes several times as long as pickle.dumps().
    if type(items) is not list and type(value) is not dict:
        items = [value]
    if ATOMS.issuperset(map(type, items)):
        return pickle.dumps(value, protocol)
    buffer = BytesIO()
    ReferencePickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def load(app_label: str, model_name: str, pk: Any, database: str) -> Any:
    """Return the row that a reference stands for, or the reference where rows are not loaded."""
    reference = Reference(app_label, model_name, pk, database)
    return reference.get() if loading.get() else reference


def reference_to(row: Model) -> Reference:
    """Return the reference to a saved row. Raises `NoReference` for any other."""
    if is_unsaved(row):
        raise NoReference(
            f"an unsaved {row._meta.label} is in no database. Save it before the call is queued"
        )
    # Where its changes are written: a replica may not have it yet when the task runs.
    database = router.db_for_write(type(row), instance=row)
    return Reference(row._meta.app_label, str(row._meta.model_name), row.pk, database)


def is_unsaved(row: Model) -> bool:
    """Return whether a row was never stored, or was deleted."""
    return row._state.adding or row.pk is None
