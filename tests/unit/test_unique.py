import datetime as dt
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from unittest import TestCase
from uuid import UUID
from zoneinfo import ZoneInfo

from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.unique import unique_hash


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
