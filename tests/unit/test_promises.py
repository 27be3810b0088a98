"""The table of promises names a test for each, and each is there."""

import re
from pathlib import Path
from unittest import TestCase

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "promises.md"
LINE = re.compile(r"^\| (\d+) \|(.*)$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
FAULTS = range(1, 107)
# Told of below the table: what the database forgets, no test of ours can prove.
BEYOND_US = {54}


class PromiseTests(TestCase):
    def lines(self):
        return [(int(number), rest) for number, rest in LINE.findall(PAGE.read_text())]

    def test_each_fault_has_one_line(self):
        numbers = sorted(number for number, _ in self.lines())

        self.assertEqual(numbers, sorted(set(FAULTS) - BEYOND_US))

    def test_each_line_names_tests_that_exist(self):
        for number, rest in self.lines():
            with self.subTest(promise=number):
                named = NAMED.findall(rest)
                self.assertTrue(named, "no test is named")
                self.assertEqual(len(named), rest.count("::"), "a name cannot be read")
                for path, name in named:
                    self.assertRegex((TESTS / path).read_text(), rf"def {name}\(", path)
