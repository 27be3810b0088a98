"""The signed pickle field: sealed when saved, opened on first access, never while listing."""

from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Model
from django.db.models.query_utils import DeferredAttribute
from picklefield.fields import PickledObjectField

from django_toosimple_q import payload
from django_toosimple_q.exceptions import UnreadablePayload
from django_toosimple_q.payload import COMPRESSED, PLAIN, Unreadable


class Stored:
    """An envelope as it stands in the database, opened at most once.

    Saving a row, or copying a payload to the row that follows it, writes the same text again:
    what a task did to the objects it was given never reaches the next attempt.
    """

    __slots__ = ("_value", "text")

    _value: Any

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<Stored {len(self.text)} characters>"

    def open(self, field: str, task_name: str) -> Any:
        """Return the value, or `Unreadable` with the reason."""
        try:
            return self._value
        except AttributeError:
            try:
                self._value = payload.unseal(self.text, field, task_name)
            except UnreadablePayload as error:
                self._value = Unreadable(str(error))
            return self._value


class PayloadAttribute(DeferredAttribute):
    """Opens the envelope when the attribute is read."""

    field: Any

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, Stored):
            return value.open(self.field.attname, instance.task_name)
        return value

    def __set__(self, instance: Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class SignedPickledField(PickledObjectField):
    """A picklefield whose content is signed for its field and its row's `task_name`.

    Reads as `Unreadable` when the signature does not match. `values()` and `values_list()` give
    `Stored`. None is NULL.
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
        return None if value is None else Stored(value)

    def to_python(self, value: Any) -> Any:
        # loaddata hands back the text that dumpdata wrote.
        if isinstance(value, str) and value.startswith((f"{PLAIN}.", f"{COMPRESSED}.")):
            return Stored(value)
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

    def value_to_string(self, obj: Model) -> Any:
        return self.get_db_prep_value(self.pre_save(obj, False))

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(
                f"{self.attname} cannot be looked up by {lookup_name!r}: it is an envelope, equal "
                "values differ in it. Filter on task_name, or keep what you look for in a model."
            )
        return super().get_lookup(lookup_name)
