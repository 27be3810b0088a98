"""Running a task with other arguments: what is prefilled, checked, queued and noted."""

import json
import sys
from datetime import date
from unittest import mock

from django.contrib.admin.models import LogEntry
from django.core.signals import got_request_exception
from django.db import OperationalError
from django.test import Client
from django.views.debug import ExceptionReporter

from django_toosimple_q.bulk_task import act_on_many
from django_toosimple_q.decorators import register_task
from django_toosimple_q.models import TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import task_execs
from tests.admin.pages import ESCAPED, MARKUP, AdminTestCase, list_url, messages_of, row_url
from tests.support import States

URL = "/admin/toosimpleq/taskexec/run_with/"
SECRET = "hunter2"


class OtherArgumentsTestCase(AdminTestCase):
    def setUp(self):
        super().setUp()

        @register_task(name="send", priority=3)
        def send(address, count=1, *, urgent=False):
            raise AssertionError("a page runs no task")

        self.row = send.queue("ann@example.org", urgent=True)
        TaskExec.objects.filter(pk=self.row.pk).update(queue="slow", priority=7)

    def initial(self, row):
        response = self.client.get(URL, {"pk": row.pk})
        form = response.context["form"]
        return [form.initial.get(name) for name in ("args", "kwargs")], response.context["notes"]

    def run_with(self, args="", kwargs="", row=None, client=None):
        form = {"pk": (row or self.row).pk, "args": args, "kwargs": kwargs}
        return (client or self.client).post(URL, form, follow=True)

    def assert_nothing_queued(self):
        self.assertEqual(TaskExec.objects.count(), 1)
        self.assertFalse(LogEntry.objects.exists())


class PrefilledTests(OtherArgumentsTestCase):
    def call(self, *args, **kwargs):
        return TaskExec.objects.create(task_name="send", args=list(args), kwargs=kwargs)

    def test_arguments_are_shown_as_json(self):
        (args, kwargs), notes = self.initial(self.row)

        self.assertEqual(
            (json.loads(args), json.loads(kwargs)), (["ann@example.org"], {"urgent": True})
        )
        self.assertEqual(notes, [])
        page = self.client.get(URL, {"pk": self.row.pk})
        self.assertContains(page, "send(address, count=1, *, urgent=False)")
        self.assertContains(page, "ann@example.org")

    def test_what_json_would_change_is_not_shown_and_said(self):
        cyclic = []
        cyclic.append(cyclic)
        for value in (
            *((1, 2), {1: "a"}, {1, 2}, b"x", date(2026, 5, 1), float("nan"), float("inf")),
            *(self.admin, ValueError(), "\ud800", cyclic, "x" * 200_000, ["x"] * 200_000),
        ):
            with self.subTest(str(type(value))):
                (args, kwargs), notes = self.initial(self.call(value, urgent=False))

                self.assertEqual(args, "")
                self.assertEqual(json.loads(kwargs), {"urgent": False})
                self.assertEqual(notes, ["Positional arguments: they cannot be shown as JSON."])

    def test_values_of_json_are_kept_to_the_letter(self):
        for value in (None, True, 1, 1.5, "ä\u202e\x00", [1, [2]], {"a": {"b": []}}):
            with self.subTest(value):
                (args, _kwargs), notes = self.initial(self.call(value))

                self.assertEqual(json.loads(args), [value])
                self.assertEqual(notes, [])

    def test_sensitive_arguments_are_not_prefilled(self):
        @register_task(name="log_in", sensitive=["password"])
        def log_in(user, password, moment=None, *rest):
            """Log in."""

        for row, expected in (
            (log_in.queue("ann", SECRET, 5), [["ann"], {"moment": 5}]),
            (log_in.queue("ann", password=SECRET, moment=5), [["ann"], {"moment": 5}]),
            (log_in.queue(password=SECRET, user="ann"), [[], {"user": "ann"}]),
        ):
            texts, notes = self.initial(row)

            self.assertEqual([json.loads(text) for text in texts], expected)
            self.assertEqual(notes, ["Sensitive arguments are not shown. Give them again."])
            self.assertNotContains(self.client.get(URL, {"pk": row.pk}), SECRET)

    def test_arguments_that_cannot_be_read(self):
        TaskExec.objects.filter(pk=self.row.pk).update(task_name="other")
        register_task(name="other")(lambda: None)

        texts, notes = self.initial(self.row)

        self.assertEqual((texts, notes), ([None, None], ["Its arguments cannot be read."]))


class RunTests(OtherArgumentsTestCase):
    def test_it_is_queued_where_the_call_was_and_both_are_named(self):
        response = self.run_with('["bob@example.org", 2]', '{"urgent": false}')

        new = TaskExec.objects.latest("pk")
        self.assertEqual((new.args, new.kwargs), (["bob@example.org", 2], {"urgent": False}))
        self.assertEqual((new.queue, new.priority, new.state), ("slow", 7, States.QUEUED))
        self.assertEqual((new.root, new.attempt), (None, 1))
        self.assertEqual(response.redirect_chain, [(row_url(self.row), 302)])
        link = f'<a href="{row_url(new)}">#{new.pk}</a>'
        self.assertEqual(messages_of(response), [f"Queued with these arguments: {link}"])
        entry = LogEntry.objects.get()
        self.assertEqual(entry.object_id, str(self.row.pk))
        self.assertEqual(entry.change_message, f"Run with other arguments as task {new.pk}.")

    def test_empty_fields_are_no_arguments(self):
        register_task(name="bare")(lambda: None)
        row = TaskExec.objects.create(task_name="bare", args=[1])

        self.run_with(row=row)

        new = TaskExec.objects.latest("pk")
        self.assertEqual((new.task_name, new.args, new.kwargs), ("bare", [], {}))

    def test_what_does_not_fit_is_refused_with_the_reason_and_kept_in_the_form(self):
        for args, kwargs, reason in (
            ("[]", "", "missing a required argument"),
            ("[1, 2, 3]", "", "too many positional arguments"),
            ("[1]", '{"nope": 1}', "unexpected keyword argument"),
            ("{}", "", "A JSON list, such as"),
            ("[1]", "[]", "A JSON object, such as"),
            ("[1", "", "A JSON list, such as"),
            ("[" * 50_000, "", "A JSON list, such as"),
            (f"[{'9' * 5000}]", "", "A JSON list, such as"),
            (f'["{"x" * 200_000}"]', "", "at most 100000 characters"),
            ("[1]\x00", "", "Null characters are not allowed"),
            (f'["{MARKUP}"]', '{"nope": 1}', "unexpected keyword argument"),
        ):
            with self.subTest(reason, args=args[:20]):
                response = self.run_with(args, kwargs)

                self.assertContains(response, "errorlist")
                self.assertContains(response, reason)
                self.assertNotContains(response, MARKUP)
        self.assertContains(response, ESCAPED)
        self.assert_nothing_queued()

    def test_a_key_function_that_raises_is_named(self):
        def broken(*args, **kwargs):
            raise RuntimeError(f"no key of {args}")

        for sensitive, text in ((False, "no key of"), (True, "RuntimeError")):
            name = f"unique {sensitive}"
            register_task(name=name, unique_by=broken, sensitive=sensitive)(lambda one: None)
            row = TaskExec.objects.create(task_name=name, args=["x"])

            response = self.run_with(f'["{SECRET}"]', row=row)

            self.assertContains(response, "It cannot be queued: ")
            self.assertContains(response, text)
            if sensitive:
                self.assertNotContains(response, "no key of")
            row.delete()
        self.assert_nothing_queued()

    def test_a_unique_call_that_waits_already_is_the_one_that_is_named(self):
        task = register_task(name="once", unique=True)(lambda one: None)
        waiting = task.queue(1)

        response = self.run_with("[1]", row=waiting)

        self.assertContains(response, f">#{waiting.pk}</a>")
        self.assertEqual(TaskExec.objects.filter(task_name="once").count(), 1)


class ReportTests(OtherArgumentsTestCase):
    def test_a_report_of_an_error_has_no_arguments(self):
        reports = []

        def report(sender, request, **kwargs):
            text = ExceptionReporter(request, *sys.exc_info()).get_traceback_text()
            reports.append(text)

        got_request_exception.connect(report)
        self.addCleanup(got_request_exception.disconnect, report)
        self.client.raise_request_exception = False
        with mock.patch.object(task_execs, "enqueue", side_effect=OperationalError("down")):
            response = self.run_with(f'["{SECRET}"]')

        self.assertEqual(response.status_code, 500)
        [text] = reports
        self.assertIn("OperationalError", text)
        self.assertNotIn(SECRET, text)


class RefusedTests(OtherArgumentsTestCase):
    def test_who_may_not_sees_no_button_and_can_do_nothing(self):
        others = ("view", "cancel", "requeue", "reschedule", "delete")
        self.log_in_with(*(f"{name}_taskexec" for name in others))

        self.assertNotContains(self.row_page(self.row), "run_with")
        self.assertEqual(self.client.get(URL, {"pk": self.row.pk}).status_code, 403)
        self.assertEqual(self.run_with('["x"]').status_code, 403)
        self.assert_nothing_queued()

    def test_who_may_sees_the_button(self):
        self.log_in_with("view_taskexec", "run_taskexec")

        self.assertContains(self.row_page(self.row), f'href="{URL}?pk={self.row.pk}"')
        self.run_with('["x"]')
        self.assertEqual(TaskExec.objects.count(), 2)

    def test_who_may_not_see_calls_does_not_see_their_arguments_here(self):
        self.log_in_with("run_taskexec")

        self.assertEqual(self.client.get(URL, {"pk": self.row.pk}).status_code, 403)
        self.assertEqual(self.run_with('["x"]').status_code, 403)
        self.assert_nothing_queued()

    def test_without_a_token_and_by_get(self):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(self.admin)

        self.assertEqual(self.run_with('["x"]', client=strict).status_code, 403)
        self.client.get(URL, {"pk": self.row.pk, "args": '["x"]'})
        self.run_with('["x"]', client=Client())
        self.assert_nothing_queued()

    def test_a_call_that_is_not_there(self):
        for pk in ("", "x", "-1", "9" * 99, "4711", "\0", "½"):
            response = self.client.post(URL, {"pk": pk, "args": "[]"}, follow=True)

            self.assertEqual(response.redirect_chain, [(list_url(TaskExec), 302)])
            self.assertEqual(messages_of(response), ["It is not there any more."])

    def test_a_bulk_action_on_behalf_of_another_user(self):
        tasks_registry.register(act_on_many.task)
        TaskExec.objects.all().delete()
        row = act_on_many.queue("delete", {}, self.admin.pk)
        self.log_in_with("view_taskexec", "run_taskexec")
        forged = json.dumps(["delete", {}, self.admin.pk])

        response = self.run_with(forged, row=row)

        self.assertNotContains(response, "run_with")
        self.assertIn("Only the actions of the admin", messages_of(response)[0])
        self.assertEqual(TaskExec.objects.filter(task_name=row.task_name).count(), 1)

    def test_a_task_that_the_code_has_lost(self):
        tasks_registry.clear()

        response = self.run_with('["x"]')

        self.assertIn("The code does not define this task.", messages_of(response)[0])
        self.assertNotContains(response, "run_with")
        self.assert_nothing_queued()
