"""Sensitive arguments in what the commands print."""

import json
from io import StringIO

from django.core.management import CommandError, call_command
from django.test import TransactionTestCase

from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.testing import run_queued
from tests.support import isolate_registries

SECRET = "hunter2"
OPEN = "Annabel"


def call(*args):
    out, err = StringIO(), StringIO()
    call_command(*args, stdout=out, stderr=err)
    return out.getvalue() + err.getvalue()


class SensitiveTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

        @schedule_task(name="nightly", cron="manual", args=[OPEN], kwargs={"password": SECRET})
        @schedule_task(name="dated", cron="manual", args=[OPEN, SECRET], datetime_kwarg="moment")
        @register_task(name="log_in", sensitive=["password"])
        def log_in(user, password=SECRET, moment=None):
            if user == OPEN:
                raise ValueError("refused")
            return user

        self.task = log_in

    def test_tasks_names_what_is_sensitive_and_shows_no_value_of_it(self):
        [described] = json.loads(call("tasks", "--json"))

        self.assertEqual(described["options"], {"sensitive": ["password"]})
        self.assertEqual(described["signature"], "(user, password=********, moment=None)")
        dated, nightly = described["schedules"]
        self.assertEqual((nightly["args"], nightly["kwargs"]), ([OPEN], {"password": "********"}))
        self.assertEqual((dated["args"], dated["kwargs"]), ([OPEN, "********"], {}))
        self.assertNotIn(SECRET, call("tasks"))

    def test_enqueue_quotes_no_value_that_it_refuses(self):
        for given, message in (
            (("--args", f"[{SECRET}"), r"argument --args: '\*{8}' is not JSON: Expecting value"),
            (("--args", f'"{SECRET}"'), r"expected a JSON list.*, got \*{8}$"),
            (("--kwargs", f'"{SECRET}"'), r"expected a JSON object.*, got \*{8}$"),
            (("--args", json.dumps([OPEN, SECRET, 1, 2])), "too many positional arguments"),
        ):
            with self.subTest(given=given):
                with self.assertRaisesRegex(CommandError, message) as caught:
                    call("enqueue", "log_in", *given)

                self.assertNotIn(SECRET, str(caught.exception))

    def test_enqueue_ends_as_its_parser_does_for_what_is_no_json(self):
        with self.assertRaises(CommandError) as caught:
            call("enqueue", "log_in", "--args", "no")

        self.assertEqual(caught.exception.returncode, 2)

    def test_no_command_prints_the_arguments_of_a_call(self):
        given = ("--args", json.dumps([OPEN]), "--kwargs", json.dumps({"password": SECRET}))
        printed = [call("enqueue", "log_in", *given), call("enqueue", "log_in", "--json", *given)]
        run_queued()
        printed += [call("tasks", "--failed"), call("queues"), call("queues", "--json")]

        self.assertIn("refused", printed[2])
        self.assertNotIn(SECRET, "".join(printed))
