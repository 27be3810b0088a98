"""The fields of the tables: the signed pickle field, and dates and numbers that can be read.

A payload is sealed when saved, opened on first access, never while listing. A date or a number that
was written past Django is read as well as it can be: one broken row breaks no list of rows.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import DateTimeField, Field, FloatField, IntegerField, Model, QuerySet
from django.db.models.query_utils import DeferredAttribute
from picklefield.fields import PickledObjectField

from django_toosimple_q import payload
from django_toosimple_q.databases import database_of
from django_toosimple_q.exceptions import UnreadablePayload
from django_toosimple_q.moments import project_datetime
from django_toosimple_q.payload import PREFIXES, Unreadable

ERROR_TYPE_LENGTH = 255


class Stored:
    """An envelope as it stands in the database, opened at most once.

    Saving a row, or copying a payload to the row that follows it, writes the same text again:
    what a task did to the objects it was given never reaches the next attempt.
    """

    __slots__ = ("_value", "field", "text")

    _value: Any

    def __init__(self, text: str, field: str = "") -> None:
        self.text = text
        self.field = field

    def __repr__(self) -> str:
        return f"<Stored {len(self.text)} characters>"

    @property
    def is_sensitive(self) -> bool:
        """Return whether the value is not to be shown."""
        return payload.is_sensitive(self.text)

    def open(self, field: str, task_name: str | None) -> Any:
        """Return the value, or `Unreadable` with the reason.

        Without the name of the row's task its signature alone is checked.
        """
        try:
            return self._value
        except AttributeError:
            try:
                self._value = payload.unseal(self.text, field, task_name)
            except UnreadablePayload as error:
                self._value = Unreadable(str(error))
            return self._value


class Loaded(Stored):
    """An envelope as `loaddata` found it: never opened, since Django writes what it reads."""

    __slots__ = ()


class PayloadAttribute(DeferredAttribute):
    """Opens the envelope when the attribute is read."""

    field: Any

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, Stored) and not isinstance(value, Loaded):
            return value.open(self.field.attname, instance.task_name)
        return value

    def __set__(self, instance: Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class SignedPickledField(PickledObjectField):
    """A picklefield whose content is signed for its field and its row's `task_name`.

    Reads as `Unreadable` when the signature does not match. None is NULL.
    """

    descriptor_class = PayloadAttribute

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("copy", False)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        # The envelope has a protocol and a compression of its own.
        kwargs.pop("protocol", None)
        return name, path, list(args), kwargs

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Stored | None:
        # SQLite gives what was written, whatever it is.
        return None if value is None else Stored(str(value), self.attname)

    def to_python(self, value: Any) -> Any:
        # What dumpdata wrote.
        if isinstance(value, str) and value.startswith(PREFIXES):
            return Loaded(value)
        return value

    def pre_save(self, model_instance: Model, add: bool) -> Stored | None:
        value = model_instance.__dict__.get(self.attname)
        if value is None or isinstance(value, Stored):
            return value
        return Stored(payload.seal(value, self.attname, model_instance.task_name))  # type: ignore[attr-defined]

    def get_db_prep_value(self, value: Any, connection: Any = None, prepared: bool = False) -> Any:
        if value is None:
            return None
        if isinstance(value, Stored):
            return value.text
        raise FieldError(
            f"{self.attname} cannot be written without its row: the signature needs the task name. "
            "Set the attribute and call save(), or queue the task again."
        )

    def value_from_object(self, obj: Model) -> Any:
        # For serializers, which write a number or a date as it is: as it is stored.
        return self.pre_save(obj, False)

    def value_to_string(self, obj: Model) -> Any:
        return self.get_db_prep_value(self.pre_save(obj, False))

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(
                f"{self.attname} cannot be looked up by {lookup_name!r}: it is an envelope, equal "
                "values differ in it. Filter on task_name, or keep what you look for in a model."
            )
        return super().get_lookup(lookup_name)


class PayloadQuerySet(QuerySet):
    """Rows whose payloads are opened in `values()` and `values_list()`, too."""

    def values(self, *fields: Any, **expressions: Any) -> Any:
        return _opening(super().values(*fields, **expressions))

    def values_list(self, *fields: Any, flat: bool = False, named: bool = False) -> Any:
        return _opening(super().values_list(*fields, flat=flat, named=named))


class DjangosOwn(Field):
    """A field that is one of Django's to migrations: only how it is read differs."""

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _, args, kwargs = super().deconstruct()
        return name, f"django.db.models.{self.get_internal_type()}", args, kwargs


class MomentField(DjangosOwn, DateTimeField):
    """An instant, which the project gets as it has datetimes, aware or naive.

    It is stored in UTC, whatever zone the settings name. It is read whatever the column holds:
    `infinity` as the last one there is.
    """

    def from_db_value(self, value: datetime | None, expression: Any, connection: Any) -> Any:
        if value is None or value.tzinfo not in (None, connection.timezone):
            return value  # Django has truncated it in another zone
        return project_datetime(database_of(connection).moment(value))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        moment = value if prepared else self.get_prep_value(value)
        return None if moment is None else database_of(connection).adapt(moment)

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        text = database_of(compiler.connection).readable_moment(sql)
        return text, [*params] * text.count(sql) if params else params

    def value_from_object(self, obj: Model) -> Any:
        # For serializers: that of JSON would cut a datetime down to milliseconds.
        value = super().value_from_object(obj)
        return value.isoformat() if isinstance(value, datetime) else value

    def value_to_string(self, obj: Model) -> str:
        return self.value_from_object(obj) or ""


class WholeNumberField(DjangosOwn, IntegerField):
    """An integer that is read whatever the column holds: SQLite keeps any text in it."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return database_of(compiler.connection).readable_number(sql, "INTEGER"), params


class NumberField(DjangosOwn, FloatField):
    """A float that is read whatever the column holds: SQLite keeps any text in it."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return database_of(compiler.connection).readable_number(sql, "REAL"), params


def _opening(rows: Any) -> Any:
    """Return rows of values in which payloads are opened as they are read."""
    rows._iterable_class = _opening_class(rows._iterable_class)
    return rows


@cache
def _opening_class(iterable: Any) -> Any:
    """Return an iterable of rows of values, payloads opened."""

    def opened(self: Any) -> Iterator[Any]:
        return map(_opened, iterable.__iter__(self))

    return type(iterable.__name__, (iterable,), {"__iter__": opened})


def _opened(row: Any) -> Any:
    """Return a row of values with its payloads opened: a dict, a tuple or one value."""
    if isinstance(row, Stored):
        return row.open(row.field, None)
    if isinstance(row, dict):
        return {name: _opened(value) for name, value in row.items()}
    if isinstance(row, tuple) and any(isinstance(value, Stored) for value in row):
        values = map(_opened, row)
        return row._make(values) if hasattr(row, "_make") else tuple(values)
    return row
