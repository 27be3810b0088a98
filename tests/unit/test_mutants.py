"""The mutants of `make mutants`: which small changes are made to a module."""

import importlib
import sys
import textwrap
from pathlib import Path
from unittest import TestCase, mock

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
with mock.patch.object(sys, "path", [str(SCRIPTS), *sys.path]):
    mutants = importlib.import_module("mutation").mutants

SOURCE = textwrap.dedent(
    '''
    """A docstring stays."""
    import os

    LIMIT = 500
    WHERE = "state = 'QUEUED' AND worker_id = %s"

    @in_transaction
    def f(rows, *, n: int = 3):
        """So does this one."""
        if not rows or n < 2:
            return []
        print(f"{n} rows", end="")
        rows.state = sorted(rows, key=len)
        try:
            return [row for row in rows if row]
        except (KeyError, ValueError):
            raise
    '''
).encode()


class MutantTests(TestCase):
    def setUp(self):
        self.made = [(one.original, one.mutant) for one in mutants("f.py", SOURCE)]

    def test_each_kind_of_change_is_made(self):
        kinds = {
            "a constant": ("500", "5000"),
            "a default": ("3", "4"),
            "a condition of SQL": ("worker_id = %s", "(worker_id = %s OR 1 = 1)"),
            "a decorator": ("in_transaction", "in_autocommit"),
            "a negation": ("not rows", "rows"),
            "a bound": ("n < 2", "(n <= 2)"),
            "an operator": ("not rows or n < 2", "(not rows and n < 2)"),
            "an operand": ("not rows or n < 2", "(n < 2)"),
            "a result": ("return []", "return None"),
            "a statement": ('print(f"{n} rows", end="")', "pass"),
            "an assignment": ("rows.state = sorted(rows, key=len)", "pass"),
            "an argument": ("sorted(rows, key=len)", "sorted(rows)"),
            "an order": ("sorted(rows, key=len)", "list(rows)"),
            "a filter": ("row", "True"),
            "an exception": ("(KeyError, ValueError)", "(KeyError,)"),
            "an error": ("raise", "pass"),
        }

        self.assertEqual({kind: pair for kind, pair in kinds.items() if pair not in self.made}, {})

    def test_what_nobody_runs_stays(self):
        changed = {original for original, _ in self.made}

        self.assertFalse({'"""A docstring stays."""', "import os", "int"} & changed)

    def test_a_mutant_is_the_module_with_one_change(self):
        [one] = [one for one in mutants("f.py", SOURCE) if one.mutant == "(n <= 2)"]

        self.assertEqual(one.apply(SOURCE), SOURCE.replace(b"n < 2", b"(n <= 2)"))
        self.assertEqual(str(one), "f.py:11  n < 2  ->  (n <= 2)")

    def test_tests_are_found_by_the_lines_that_run(self):
        lines = {one.original: (one.lines, one.constant) for one in mutants("f.py", SOURCE)}

        self.assertEqual(lines["500"], ((5,), "LIMIT"))
        self.assertEqual(lines["n < 2"], ((11,), ""))
        # A decorator and a default are executed with the function, not when it is defined.
        self.assertIn(12, lines["in_transaction"][0])
        self.assertIn(12, lines["3"][0])
