"""The text of a call's arguments: short, harmless, and made without running their code."""

import tracemalloc
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from uuid import UUID

from django.contrib.auth.models import User
from django.test import SimpleTestCase

from django_toosimple_q.arguments import LENGTH, arguments_preview


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self):
        raise AssertionError("ran")

    __str__ = __iter__ = __len__ = __hash__ = __repr__


class HostileList(list):
    def __iter__(self):
        raise AssertionError("ran")


class HostileZone(tzinfo):
    def utcoffset(self, moment):
        raise AssertionError("ran")


class ArgumentsTests(SimpleTestCase):
    def test_values_are_written_as_in_the_code(self):
        cases = [
            (((), {}), ""),
            (((1, "a"), {"b": True, "c": None}), "1, 'a', b=True, c=None"),
            ((([1, (2,), {"k": {3}}],), {}), "[1, (2), {'k': {3}}]"),
            (((Decimal("1.50"), timedelta(minutes=5)), {}), "1.50, 0:05:00"),
            (((datetime(2026, 5, 1, 12, tzinfo=UTC),), {}), "2026-05-01 12:00:00+00:00"),
            (((UUID(int=1),), {}), "00000000-0000-0000-0000-000000000001"),
            (((b"x", 1.5), {}), "b'x', 1.5"),
        ]

        for (args, kwargs), text in cases:
            self.assertEqual(arguments_preview(args, kwargs), text)

    def test_a_row_of_a_model_is_named_by_its_key(self):
        self.assertEqual(arguments_preview([User(pk=5), User()], {}), "<User 5>, <User None>")

    def test_no_code_of_the_arguments_runs(self):
        text = arguments_preview([Hostile(), HostileList([1])], {"at": Hostile()})

        self.assertEqual(text, "<Hostile>, <HostileList>, at=<Hostile>")
        moment = datetime(2026, 5, 1, tzinfo=HostileZone())
        self.assertEqual(arguments_preview([moment], {}), "<datetime>")

    def test_what_a_page_obeys_or_hides_is_escaped(self):
        text = arguments_preview(["\x00\x1b[31m\u202e\ud800"], {"\u202ek": 1})

        self.assertTrue(text.isprintable())
        self.assertIn("\\x00\\x1b[31m", text)

    def test_large_values_are_cut_and_never_written_whole(self):
        nested = []
        for _ in range(5000):
            nested = [nested]
        large = ["x" * 10_000_000, b"y" * 10_000_000, list(range(10**6)), 1 << 10**6, nested]
        tracemalloc.start()

        for value in large:
            self.assertLessEqual(len(arguments_preview([value], {"k": value})), LENGTH)
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        self.assertLess(most, 200_000)
        self.assertEqual(arguments_preview([1 << 10**6], {}), "<int of 1000001 bits>")

    def test_a_wide_tree_takes_no_long_time(self):
        tree = [[[["x"] * 40] * 40] * 40] * 40

        self.assertLessEqual(len(arguments_preview([tree] * 40, {})), LENGTH)
