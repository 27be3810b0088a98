"""Sensitive arguments in the admin, on metrics and health pages."""

from django.test import RequestFactory
from django.urls import reverse

from django_toosimple_q.contrib.health import health_view
from django_toosimple_q.contrib.prometheus import metrics_view
from django_toosimple_q.decorators import register_task, schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.testing import run_queued
from tests.admin.pages import AdminTestCase, messages_of

SECRET = "hunter2"
OPEN = "Annabel"


class SensitiveTests(AdminTestCase):
    def setUp(self):
        super().setUp()

        @schedule_task(name="nightly", cron="30 8 * * *", args=[OPEN], kwargs={"password": SECRET})
        @schedule_task(name="dated", cron="manual", args=[OPEN, SECRET], datetime_kwarg="moment")
        @register_task(name="log_in", sensitive=["password"])
        def log_in(user, password, moment=None):
            raise ValueError("refused")

        self.task = log_in
        self.row = log_in.queue(OPEN, password=SECRET)

    def test_the_page_of_a_call_shows_the_others_only(self):
        page = self.row_page(self.row)

        self.assertContains(page, f"log_in(&#x27;{OPEN}&#x27;, password=********)")
        self.assertNotContains(page, SECRET)

    def test_the_page_of_a_call_whose_task_is_gone_shows_none(self):
        tasks_registry.clear()

        page = self.row_page(self.row)

        self.assertContains(page, "log_in(********)")
        self.assertNotContains(page, SECRET)

    def test_the_page_of_a_schedule_shows_the_others_only(self):
        for name, call in (
            ("nightly", f"log_in(&#x27;{OPEN}&#x27;, password=********)"),
            ("dated", f"log_in(&#x27;{OPEN}&#x27;, ********, moment=&lt;the occurrence&gt;)"),
        ):
            with self.subTest(schedule=name):
                page = self.row_page(ScheduleExec.objects.create(name=name))

                self.assertContains(page, call)
                self.assertNotContains(page, SECRET)

    def test_no_other_page_has_them(self):
        run_queued()
        messages = messages_of(self.act("action_requeue", TaskExec.objects.get()))
        again = TaskExec.objects.latest("pk")
        pages = [
            self.row_page(again),
            self.list_page(TaskExec),
            self.list_page(TaskExec, q=SECRET[:3]),
            self.list_page(ScheduleExec),
            self.client.get(reverse("admin:index")),
            self.client.get(reverse("admin:app_list", args=["toosimpleq"])),
        ]

        self.assertContains(pages[0], "password=********")
        self.assertEqual(len(messages), 1)
        for page in pages:
            with self.subTest(page=page.request["PATH_INFO"]):
                self.assertNotContains(page, SECRET)
        self.assertNotIn(SECRET, str(messages))

    def test_neither_has_what_machines_read(self):
        run_queued()
        request = RequestFactory().get("/")
        request.user = self.admin

        for view in (metrics_view, health_view):
            with self.subTest(view=view):
                answer = view(request)

                self.assertIn(b"default", answer.content)
                self.assertNotIn(SECRET.encode(), answer.content)
