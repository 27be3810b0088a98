"""The tables of options: what they refuse, and that the code and the pages agree with them."""

import argparse
import ast
import inspect
import re
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_type_hints
from unittest import TestCase

from django_toosimple_q import schedule, task_options
from django_toosimple_q.exceptions import InvalidDefinition, UnknownOption, did_you_mean
from django_toosimple_q.schedule import SCHEDULE_OPTIONS, Schedule, ScheduleOptions
from django_toosimple_q.task import Task
from django_toosimple_q.task_options import REQUIRED, TASK_OPTIONS, TaskOptions, refuse_unknown
from django_toosimple_q.worker import options as worker_options
from django_toosimple_q.worker.options import FLAGS, WORKER_OPTIONS, InvalidOption, WorkerOptions

README = (Path(__file__).parent.parent.parent / "README.md").read_text()


def meanings(module, owner):
    """Return the text under each field of a class, by the field's name, on one line."""
    [tree] = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__
    ]
    pairs = zip(tree.body, tree.body[1:], strict=False)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairs
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def default_of(option):
    """Return a default as the documentation writes it."""
    if option.shown:
        return option.shown
    return f'`"{option.default}"`' if isinstance(option.default, str) else f"`{option.default!r}`"


def expected_rows(table, texts):
    return [f"| `{name}` | {default_of(one)} | {texts[name]} |" for name, one in table.items()]


class DocumentationTests(TestCase):
    maxDiff = None

    def section(self, title):
        found = re.search(rf"^## {title}\n(.*?)^## ", README, re.M | re.S)
        self.assertIsNotNone(found, title)
        return found[1]

    def rows(self, title, header):
        _, _, rest = self.section(title).partition(f"{header}\n")
        return [line for line in rest.split("\n\n")[0].splitlines() if line.startswith("| `")]

    def test_the_table_of_task_options_is_the_table_in_the_code(self):
        expected = expected_rows(TASK_OPTIONS, meanings(task_options, TaskOptions))

        self.assertEqual(self.rows("Tasks", "| option | default | meaning |"), expected)

    def test_the_table_of_schedule_options_is_the_table_in_the_code(self):
        cron, *rows = self.rows("Schedules", "| option | default | meaning |")

        self.assertTrue(cron.startswith("| `cron` | required |"))
        self.assertEqual(rows, expected_rows(SCHEDULE_OPTIONS, meanings(schedule, ScheduleOptions)))

    def test_every_option_has_a_meaning(self):
        for module, owner, table in (
            (task_options, TaskOptions, TASK_OPTIONS),
            (schedule, ScheduleOptions, SCHEDULE_OPTIONS),
            (worker_options, WorkerOptions, WORKER_OPTIONS),
        ):
            with self.subTest(owner=owner):
                self.assertEqual(list(meanings(module, owner)), list(table))

    def test_the_usage_of_the_worker_is_what_its_parser_says(self):
        parser = argparse.ArgumentParser(prog="manage.py worker", add_help=False)
        worker_options.add_arguments(parser)
        written = re.search(r"^usage: (.*?)^```", README, re.M | re.S)[1]
        usage = parser.format_usage().removeprefix("usage: ")

        self.assertEqual(written.split(), usage.split())

    def test_the_table_of_worker_options_has_every_flag_and_its_default(self):
        rows = self.rows("The worker", "| option | default | meaning |")
        for name, flag in FLAGS.items():
            with self.subTest(flag=flag.name):
                [row] = [row for row in rows if f"`--{flag.name}`" in row]
                if name in ("tick", "timeout", "grace"):
                    self.assertIn(f"| {WORKER_OPTIONS[name].default:g} s |", row)
                if name == "label":
                    self.assertIn(f"| `{WORKER_OPTIONS[name].default}` |", row)


class TableTests(TestCase):
    def test_each_option_is_a_field_of_its_definition_with_its_default(self):
        for table, owner, own in (
            (TASK_OPTIONS, Task, {"func", "due"}),
            (SCHEDULE_OPTIONS, Schedule, {"task", "cron"}),
        ):
            made = {one.name: one for one in fields(owner) if one.init}
            with self.subTest(owner=owner):
                self.assertEqual({one.field for one in table.values()}, set(made) - own)
                for option in table.values():
                    if option.default is not REQUIRED and option.name != "kwargs":
                        self.assertEqual(made[option.field].default, option.default, option.name)

    def test_a_definition_keeps_what_its_option_takes(self):
        frozen = {
            "retry_for",
            "retry_not_for",
            "sensitive",
        }  # kept as a tuple, whatever they are given in
        for table, owner in ((TASK_OPTIONS, Task), (SCHEDULE_OPTIONS, Schedule)):
            hints = get_type_hints(owner, localns={"TaskExec": object})
            for option in table.values():
                if option.name not in frozen:
                    with self.subTest(owner=owner, option=option.name):
                        self.assertEqual(hints[option.field], option.hint)

    def test_each_default_that_is_no_none_is_a_value_that_is_taken(self):
        for table in (TASK_OPTIONS, SCHEDULE_OPTIONS, WORKER_OPTIONS):
            for option in table.values():
                if option.default is not REQUIRED:
                    with self.subTest(option=option.name):
                        self.assertEqual(option.read(option.default, "it"), option.default)


class ValueTests(TestCase):
    def refused(self, table, name, value, cure):
        what = f"task 't': {name}"
        with (
            self.subTest(option=name, value=value),
            self.assertRaisesRegex(InvalidDefinition, rf"(?s){re.escape(what)} cannot be .*{cure}"),
        ):
            table[name].read(value, what)

    def test_wrong_values_are_refused_with_the_cure(self):
        year = 31536000
        for name, values, cure in (
            (
                "name",
                ["", "  ", " a", "a\n", 5, None, "\ud800", "a\x00b"],
                "(Use text|Give|Remove)",
            ),
            ("queue", ["a,b"], "without a comma"),
            ("queue", ["", " mail", 3, None], "(Use text|Give|Remove)"),
            ("priority", ["high", True, 1.0, 2**31], "Use a whole number"),
            ("unique", [1, "yes", None], "Use True or False"),
            ("atomic", ["yes", 0], "Use True or False"),
            ("retry_jitter", [5, 0.5], "Use True or False"),
            ("unique_by", ["x", 5], "Use a function"),
            ("retries", [-2, 1.5, "3", None, 2**31], "or -1 to retry for ever"),
            ("retry_delay", [-1, "10", 1.5, year + 1], f"seconds from 0 to {year}"),
            ("retry_delay_max", [-1, "10", year + 1], f"seconds from 0 to {year}"),
            ("timeout", [0, -1, "1h", True, float("nan"), float("inf"), 1e12], "or None for no"),
            ("timeout_grace", [0, None, float("nan")], "above 0"),
            ("max_running", [0, -1, "2", True, 1.5, 2**31], "Use a whole number of 1 or more"),
            ("rate_limit", [10, "10", "10/y", "0/m"], "COUNT/UNIT"),
            ("on_interruption", ["holt", 5, None, ["hold"]], 'Use "replace" or "hold"'),
            ("expires", [60, timedelta(0), timedelta(-1), timedelta.max], "timedelta above 0"),
            ("expires", [datetime.max, datetime.min], "years 1001 to 9998"),
        ):
            for value in values:
                self.refused(TASK_OPTIONS, name, value, cure)

    def test_exceptions_are_one_class_or_several_and_are_kept_in_a_tuple(self):
        read = TASK_OPTIONS["retry_for"].read

        self.assertEqual(read(ValueError, "it"), (ValueError,))
        self.assertEqual(read([ValueError, KeyError], "it"), (ValueError, KeyError))
        self.assertEqual(read({ValueError}, "it"), (ValueError,))
        self.assertEqual(read((), "it"), ())
        self.assertEqual(read(iter([OSError]), "it"), (OSError,))

    def test_what_is_no_exception_class_is_refused(self):
        for name in ("retry_for", "retry_not_for"):
            for value in (
                (int,),
                (3,),
                int,
                "ValueError",
                {ValueError: 1},
                5,
                None,
                [ValueError()],
            ):
                self.refused(TASK_OPTIONS, name, value, "Use exception classes")

    def test_values_at_the_bounds_are_taken(self):
        for name, value in (
            ("retry_delay", 31536000),
            ("retry_delay_max", 0),
            ("timeout", 31536000),
            ("timeout", 0.001),
            ("retries", -1),
            ("priority", -(2**31)),
            ("max_running", 1),
            ("expires", timedelta(days=365)),
            ("expires", datetime(9998, 12, 31)),
            ("name", "x" * 255),
        ):
            with self.subTest(option=name, value=value):
                self.assertEqual(TASK_OPTIONS[name].read(value, "it"), value)

    def test_a_long_value_is_cut_in_the_message(self):
        with self.assertRaises(InvalidDefinition) as caught:
            TASK_OPTIONS["priority"].read("x" * 10_000, "it")

        self.assertLess(len(str(caught.exception)), 300)

    def test_options_of_a_schedule(self):
        for name, values, cure in (
            ("queue", ["a,b", ""], ""),
            ("args", ["John", b"J", 5, {1}], "Use a list or tuple"),
            ("kwargs", [[1], "a"], "Use a dict"),
            ("kwargs", [{1: 2}], "names of parameters"),
            ("datetime_kwarg", [5, "", "no name", True], "name of a parameter"),
            ("catch_up", ["yes", 1, None], "Use True or False"),
            ("run_on_creation", ["no", 0, None], "Use True or False"),
            ("timezone", ["Europe/Pariss", 5], "Europe/Paris"),
        ):
            for value in values:
                self.refused(SCHEDULE_OPTIONS, name, value, cure)

    def test_arguments_that_cannot_be_copied_are_refused(self):
        class Sealed:
            def __deepcopy__(self, memo):
                raise RuntimeError("no copies")

        self.refused(SCHEDULE_OPTIONS, "args", [Sealed()], "RuntimeError: no copies")
        self.refused(SCHEDULE_OPTIONS, "kwargs", {"a": Sealed()}, "RuntimeError: no copies")


class UnknownOptionTests(TestCase):
    def cure(self, name, table=TASK_OPTIONS):
        with self.assertRaises(UnknownOption) as caught:
            refuse_unknown([name], table, "@register_task")
        return str(caught.exception)

    def test_words_that_other_queues_use_lead_to_ours(self):
        for name, meant in (
            ("retry", "retries"),
            ("retrys", "retries"),
            ("max_retries", "retries"),
            ("delay", "retry_delay"),
            ("default_retry_delay", "retry_delay"),
            ("autoretry_for", "retry_for"),
            ("time_limit", "timeout"),
            ("queue_name", "queue"),
            ("concurrency", "max_running"),
            ("prioritty", "priority"),
        ):
            with self.subTest(name=name):
                self.assertIn(f"Did you mean {meant!r}?", self.cure(name))

    def test_a_moment_belongs_to_a_call(self):
        for name in ("due", "eta", "countdown", "run_after", "delay"):
            with self.subTest(name=name):
                self.assertIn("pass due to queue()", self.cure(name))

    def test_what_resembles_nothing_gets_the_list(self):
        self.assertIn("It has: atomic, expires", self.cure("zzz"))

    def test_every_alias_is_no_option_and_leads_to_one_option_only(self):
        for table in (TASK_OPTIONS, SCHEDULE_OPTIONS):
            aliases = [alias for option in table.values() for alias in option.aliases]
            self.assertEqual(len(aliases), len(set(aliases)))
            self.assertEqual(set(aliases) & set(table), set())

    def test_a_name_is_written_as_asked(self):
        self.assertEqual(did_you_mean("QUEUE", ["QUEUES"], "no", write=str), "Did you mean QUEUES?")
        self.assertEqual(did_you_mean("zzz", ["QUEUES"], "no"), "no")


class WorkerOptionTests(TestCase):
    def test_wrong_values_are_refused_with_the_cure(self):
        for options, message in (
            ({"queues": "mail"}, "--queue cannot be 'mail'. Use a list"),
            ({"queues": [""]}, "--queue cannot be .*Give it a name"),
            ({"queues": ["a,b"]}, "--queue cannot be .*without a comma"),
            ({"excluded_queues": [5]}, "--exclude_queue cannot be .*Use text"),
            ({"tick": "10"}, "--tick cannot be '10'. Use a number of seconds above 0"),
            ({"timeout": None}, "--timeout cannot be None"),
            ({"once": "yes"}, "--once cannot be 'yes'. Use True or False"),
            ({"schedules": 1}, "--no_schedules cannot be 1. Use True or False"),
            ({"threads": "4"}, "--threads cannot be '4'. Use 1 or more"),
            ({"threads": 1.5}, "--threads cannot be 1.5. Use 1 or more"),
            ({"max_memory": float("inf")}, "--max_memory cannot be inf. Use 1 or more"),
            ({"label": 5}, "--label cannot be 5. Use text"),
            ({"label": "a\x00"}, "--label cannot be .*Remove the NUL"),
            ({"reload": "yes"}, 'Use "always" or "never"'),
            ({"reload": "always", "processes": 2}, "Remove --processes"),
        ):
            with self.subTest(**options), self.assertRaisesRegex(InvalidOption, message):
                WorkerOptions(**options)

    def test_flags_become_the_options(self):
        parser = argparse.ArgumentParser()
        worker_options.add_arguments(parser)
        given = parser.parse_args(
            [
                "--exclude-queue=a,b",
                "--exclude_queue",
                "c",
                "--interval=2",
                "--no-schedules",
                "--batch",
                "--label=me",
                "--max-tasks=7",
                "--max-memory=300",
                "--reload=never",
            ]
        )

        self.assertEqual(
            worker_options.from_arguments(vars(given)),
            WorkerOptions(
                queues=[],
                excluded_queues=["a", "b", "c"],
                tick=2.0,
                schedules=False,
                until_done=True,
                label="me",
                max_tasks=7,
                max_memory=300.0,
                reload="never",
            ),
        )

    def test_no_flags_are_the_defaults(self):
        parser = argparse.ArgumentParser()
        worker_options.add_arguments(parser)

        options = worker_options.from_arguments(vars(parser.parse_args([])))

        self.assertEqual((list(options.queues), list(options.excluded_queues)), ([], []))
        plain = {one.name: getattr(options, one.name) for one in fields(options)}
        defaults = {one.name: getattr(WorkerOptions(), one.name) for one in fields(options)}
        for lists in ("queues", "excluded_queues"):
            del plain[lists], defaults[lists]
        self.assertEqual(plain, defaults)
