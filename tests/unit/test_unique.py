import datetime as dt
import subprocess
import sys
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from enum import Enum, Flag
from unittest import TestCase
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy
from freezegun import freeze_time

from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.unique import unique_hash
from tests.app.models import Effect


class Colour(Enum):
    RED = 1
    ALSO_ONE = "1"


@dataclass
class Point:
    x: int
    y: int


def same(one, other):
    return unique_hash("t", {"a": one}) == unique_hash("t", {"a": other})


class UniqueHashTests(TestCase):
    def test_equal_values_that_pickle_differently_are_the_same(self):
        text = "".join(["a", "b"])

        self.assertTrue(same({"x": 1, "y": 2}, {"y": 2, "x": 1}))
        self.assertTrue(same({"b", "a", "c"}, {"c", "b", "a"}))
        self.assertTrue(same(["ab", "ab"], [text, "ab"]))

    def test_types_are_kept_apart(self):
        values = [
            1,
            1.0,
            True,
            "1",
            b"1",
            Decimal(1),
            (1,),
            [1],
            {1},
            Colour.RED,
            Colour.ALSO_ONE,
            None,
        ]

        hashes = {unique_hash("t", {"a": value}) for value in values}

        self.assertEqual(len(hashes), len(values))

    def test_one_instant_is_one_value_in_every_zone(self):
        utc = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)

        self.assertTrue(same(utc, utc.astimezone(ZoneInfo("Asia/Tokyo"))))
        self.assertFalse(same(utc, utc.replace(tzinfo=None)))

    def test_nested_values_of_many_types_have_a_form(self):
        value = {"p": Point(1, 2), "u": UUID(int=1), "d": [dt.date(2026, 1, 1), dt.timedelta(1)]}

        self.assertTrue(same(value, dict(reversed(value.items()))))

    def test_a_separator_in_a_text_does_not_blur_two_values(self):
        self.assertFalse(same(["a', 'b"], ["a", "b"]))
        self.assertFalse(same({"a": "b, c"}, {"a": "b", "c": ""}))

    def test_the_task_and_the_parameter_count(self):
        self.assertNotEqual(unique_hash("t", {"a": 1}), unique_hash("u", {"a": 1}))
        self.assertNotEqual(unique_hash("t", {"a": 1}), unique_hash("t", {"b": 1}))

    def test_a_value_without_a_form_is_refused_by_name(self):
        with self.assertRaisesRegex(InvalidArguments, "argument 'connection'.*unique_by"):
            unique_hash("t", {"connection": object()})

    def test_other_processes_compute_the_same(self):
        code = (
            "from django_toosimple_q.unique import unique_hash;"
            "print(unique_hash('t', {'a': {'x', 'y', 'z'}, 'b': {'k': 1.5}}))"
        )
        runs = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2", "3")
        }

        self.assertEqual(len(runs), 1)


class SameName(Enum):
    RED = 1


class Access(Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Tag(str):
    """A text that is nothing but a text."""

    __slots__ = ()


class Labelled(str):
    """A text that may carry more."""


class Slotted(list):
    __slots__ = ("more",)


class Rows(list):
    """A list that may carry more."""


Pair = namedtuple("Pair", "a b")


def in_another_module(kind, *args, **kwargs):
    """Return a class of the same name from elsewhere."""
    made = kind(*args, **kwargs)
    made.__module__ = "elsewhere"
    return made


def carrying(value, **attributes):
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


# Values of two calls that are not the same call. None of them may be taken for the other.
DIFFERENT = {
    "enums of one name": (SameName.RED, in_another_module(Enum, "SameName", {"RED": 1}).RED),
    "flags": (Access.READ | Access.WRITE, Access.READ | Access.RUN),
    "dataclasses of one name": (
        Point(1, 2),
        in_another_module(make_dataclass, "Point", ["x", "y"])(1, 2),
    ),
    "namedtuples of one name": (
        Pair(1, 2),
        in_another_module(namedtuple, "Pair", "b a")(1, 2),
    ),
    "a namedtuple and a tuple": (Pair(1, 2), (1, 2)),
    "texts of one name": (
        Tag("x"),
        in_another_module(type, "Tag", (str,), {"__slots__": ()})("x"),
    ),
    "a derived text and a text": (Tag("x"), "x"),
    "texts with attributes": (Labelled("x"), carrying(Labelled("x"), more=1)),
    "lists with attributes": (Rows([1]), carrying(Rows([1]), more=1)),
    "lists with slots": (Slotted([1]), carrying(Slotted([1]), more=1)),
    "the order of an OrderedDict": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "defaults of a defaultdict": (defaultdict(list, a=1), defaultdict(dict, a=1)),
    "a MultiValueDict": (MultiValueDict({"a": ["1", "2"]}), MultiValueDict({"a": ["2"]})),
    "folds": (
        dt.datetime(2026, 10, 25, 2, 30),
        dt.datetime(2026, 10, 25, 2, 30, fold=1),
    ),
    "folds of times": (dt.time(2, 30), dt.time(2, 30, fold=1)),
    "attributes of a dataclass": (Point(1, 2), carrying(Point(1, 2), z=3)),
    "zeros": (0.0, -0.0),
    "numbers of thousands of digits": (10**5000, 10**5000 + 1),
    "models": (Effect(pk=1, key="a"), Effect(pk=2, key="a")),
    "unsaved models": (Effect(key="a"), Effect(key="b")),
}


class NeverEqualByMistakeTests(TestCase):
    def test_different_calls_are_kept_apart_or_refused(self):
        for name, (one, other) in DIFFERENT.items():
            with self.subTest(name):
                try:
                    self.assertFalse(same(one, other))
                except InvalidArguments as error:
                    self.assertIn("unique_by", str(error))

    def test_what_has_more_to_it_than_it_contains_is_refused(self):
        for value in (
            carrying(Rows([1]), more=1),
            carrying(Labelled("x"), more=1),
            carrying(Slotted([1]), more=1),
            carrying(Point(1, 2), z=3),
            carrying(OrderedDict(), more=1),
            defaultdict(list),
            Effect(key="a"),
            iter([1]),
            object(),
        ):
            with (
                self.subTest(value=value),
                self.assertRaisesRegex(InvalidArguments, "argument 'a'.*unique_by"),
            ):
                unique_hash("t", {"a": [value]})

    def test_a_derived_class_without_more_is_compared(self):
        for make in (lambda: Rows([1]), lambda: Tag("x"), lambda: Pair(1, 2), lambda: Access.READ):
            self.assertTrue(same(make(), make()))

    def test_a_frozen_clock_s_dates_are_compared(self):
        with freeze_time("2026-01-01 12:00:00"):
            for make in (dt.date.today, dt.datetime.now, lambda: dt.datetime.now(dt.UTC)):
                self.assertTrue(same(make(), make()))

    def test_a_querydict_is_refused(self):
        with self.assertRaisesRegex(InvalidArguments, "unique_by"):
            unique_hash("t", {"a": QueryDict("a=1&a=2")})

    def test_a_lazy_text_is_its_text(self):
        self.assertTrue(same(gettext_lazy("Yes"), "Yes"))
        self.assertFalse(same(gettext_lazy("Yes"), gettext_lazy("No")))

    def test_what_is_deep_or_contains_itself_is_refused(self):
        itself = []
        itself.append(itself)
        deep = []
        for _ in range(100_000):
            deep = [deep]

        for value in (itself, deep):
            with self.assertRaisesRegex(InvalidArguments, "nested too deeply, or contains itself"):
                unique_hash("t", {"a": value})

    def test_what_a_value_raises_is_its_refusal(self):
        class Shy(list):
            def __reduce_ex__(self, protocol):
                raise RuntimeError("not me")

        with self.assertRaisesRegex(InvalidArguments, "not me.*unique_by"):
            unique_hash("t", {"a": Shy()})
