"""Open a payload to show it, without running any code of the project.

Unpickling calls whatever a pickle names. Here it calls the few types of Python's own in `KNOWN`;
any other name becomes a `StandIn`, which only notes what it is given. Nothing is imported.
"""

import pickle
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django_toosimple_q import payload
from django_toosimple_q.exceptions import UnreadablePayload, kind_of
from django_toosimple_q.fields import Stored
from django_toosimple_q.payload import Unreadable
from django_toosimple_q.references import Reference

# How older protocols call these modules.
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class StandIn:
    """Stands for a value of the class or function `path`: how it was called, and what it holds.

    The classes themselves stand for a class or function that is a value.
    """

    path: ClassVar[str] = ""
    args: list[Any]
    named: dict[str, Any]
    items: list[Any]
    pairs: list[tuple[Any, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        new = object.__new__(cls)
        new.args, new.named, new.items, new.pairs = list(args), dict(kwargs), [], []
        return new

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments, which are noted already."""

    def __setstate__(self, state: Any) -> None:
        # A class with __slots__ has two dicts, for its other attributes and for these.
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if all(part is None or isinstance(part, dict) for part in parts):
            for part in parts:
                self.named |= {str(name): value for name, value in (part or {}).items()}
        else:
            self.named["state"] = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))

    def append(self, value: Any) -> None:
        """Note an item of a sequence."""
        self.items.append(value)

    add = append

    def extend(self, values: Any) -> None:
        """Note items of a sequence."""
        self.items.extend(values)

    def __call__(self, *args: Any, **kwargs: Any) -> "StandIn":
        return type(self)(self, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self.path}>"


def read(row: Any, name: str) -> Any:
    """Return the value of a payload of a row with stand-ins in it, or `Unreadable`."""
    stored = row.__dict__.get(name)
    if not isinstance(stored, Stored):
        return stored
    try:
        return load(payload.pickled(stored.text, name, row.task_name))
    except UnreadablePayload as error:
        return Unreadable(str(error))
    except Exception as error:  # what the unpickler makes of a broken pickle
        return Unreadable(f"{name}: cannot be unpickled: {kind_of(error)}")


def load(pickled: bytes) -> Any:
    """Return what was pickled, with stand-ins in it. Raises what a broken pickle leads to."""
    value = Unpickler(BytesIO(pickled)).load()
    if isinstance(value, StandIn) and value.path == "picklefield.fields._ObjectWrapper":
        return value.named.get("_obj")
    return value


class Unpickler(pickle.Unpickler):
    """Calls the types in `KNOWN` and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        path = f"{RENAMED.get(module, module)}.{name}"
        return KNOWN.get(path) or stand_in(path)


def stand_in(path: str) -> type[StandIn]:
    """Return the class of the stand-ins for a class or function."""
    return type("StandIn", (StandIn,), {"path": path.removeprefix("builtins.")})


def _moment(kind: Any) -> Callable[..., Any]:
    """Return what makes a datetime or time, also one in a zone of the project's."""

    def make(*args: Any) -> Any:
        if args and isinstance(args[-1], StandIn):
            return stand_in(f"datetime.{kind.__name__}")(kind(*args[:-1]), tzinfo=args[-1])
        return kind(*args)

    return make


def _attribute(owner: Any, name: str) -> Any:
    """Return an attribute of a class, which is what makes its values anew."""
    if owner is ZoneInfo and name == "_unpickle":
        return ZoneInfo._unpickle  # type: ignore[attr-defined]
    known = isinstance(owner, type) and issubclass(owner, StandIn)
    return stand_in(f"{owner.path}.{name}") if known else stand_in("getattr")(owner, name)


def _row(label: Any, *rest: Any) -> StandIn:
    """Return the stand-in for a row of a model that was pickled whole, as results are."""
    path = ".".join(map(str, label)) if isinstance(label, tuple) else str(label)
    return stand_in(path)()


KNOWN: dict[str, Callable[..., Any]] = {
    "datetime.date": date,
    "datetime.datetime": _moment(datetime),
    "datetime.time": _moment(time),
    "datetime.timedelta": timedelta,
    "datetime.timezone": timezone,
    "decimal.Decimal": Decimal,
    "uuid.UUID": UUID,
    "zoneinfo.ZoneInfo": ZoneInfo,
    "builtins.getattr": _attribute,
    "django_toosimple_q.references.load": Reference,
    "django.db.models.base.model_unpickle": _row,
}
