"""The view for probes: who may read it, and what it says."""

import json
from datetime import timedelta
from unittest import mock

from django.contrib.auth.models import Permission, User
from django.core.checks import run_checks
from django.db import OperationalError
from django.test import RequestFactory, TestCase, override_settings
from django.urls import path
from django.utils import timezone

from django_toosimple_q import health
from django_toosimple_q.contrib.health import HealthView, health_view
from django_toosimple_q.models import TaskExec
from tests.support import count_failures, isolate_registries, make_task, make_worker

TOKEN = "a token for the tests"

urlpatterns = [
    path("healthz", health_view),
    path("strict", HealthView.as_view(max_wait=60, max_failures=0)),
]


@override_settings(ROOT_URLCONF=__name__, TOOSIMPLEQ_MONITORING_TOKEN=TOKEN)
class HealthTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task()

    def get(self, path="/healthz", token=TOKEN, **more):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.get(path, headers=headers, **more)

    def test_all_is_well(self):
        make_worker(now=timezone.now())

        response = self.get()

        self.assertEqual(response.status_code, 200)
        found = response.json()
        self.assertEqual((found["ok"], found["problems"]), (True, []))
        self.assertEqual(found["queues"][0]["name"], "default")
        self.assertIn("no-store", response["Cache-Control"])

    def test_without_a_living_worker_it_is_unwell_and_says_what_to_do(self):
        self.task.using(queue="mail").queue()

        response = self.get()

        self.assertEqual(response.status_code, 503)
        problems = response.json()["problems"]
        self.assertEqual([one["kind"] for one in problems], ["no_worker", "unattended"])
        self.assertEqual(problems[1]["cure"], "Start `manage.py worker --queue mail`.")

    def test_bounds_are_those_of_the_view(self):
        make_worker(now=timezone.now())
        self.task.queue()
        TaskExec.objects.update(due=timezone.now() - timedelta(seconds=61))
        count_failures(1)

        self.assertEqual(self.get().status_code, 200)
        response = self.get("/strict")

        self.assertEqual(response.status_code, 503)
        kinds = [one["kind"] for one in response.json()["problems"]]
        self.assertEqual(kinds, ["late", "failures"])

    def test_a_database_that_does_not_answer_is_unwell_and_its_secrets_stay_here(self):
        error = OperationalError("password=hunter2")
        with mock.patch.object(health, "read", side_effect=error):
            response = self.get()

        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json()["problems"][0]["kind"], "database")
        self.assertNotContains(response, "hunter2", status_code=503)

    def test_without_the_token_nothing_is_told(self):
        for token in ("", "wrong", TOKEN + "x", "ünicode"):
            with self.subTest(token):
                response = self.get(token=token)
                self.assertContains(response, "Authorization", status_code=403)
                self.assertNotContains(response, "default", status_code=403)

    @override_settings(TOOSIMPLEQ_MONITORING_TOKEN=None)
    def test_an_empty_token_opens_nothing(self):
        for token in ("", "None", " "):
            self.assertEqual(self.get(token=token).status_code, 403)
        request = RequestFactory().get("/", headers={"Authorization": "Bearer "})
        self.assertEqual(health_view(request).status_code, 403)

    def test_a_user_who_may_see_queues_may_read_it_and_others_not(self):
        user = User.objects.create_user("ann")
        self.client.force_login(user)
        self.assertEqual(self.get(token="").status_code, 403)

        user.user_permissions.add(Permission.objects.get(codename="view_queuestatus"))

        self.assertEqual(self.get(token="").status_code, 503)

    def test_it_only_reads(self):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.assertEqual(self.client.post("/healthz", headers=headers).status_code, 405)
        self.assertEqual(json.loads(self.get().content)["failures_last_hour"], 0)

    def test_a_token_that_is_too_short_or_no_text_is_an_error_without_the_token(self):
        for wrong in ("short", 12345678901234567890, b"a token for the tests"):
            with self.subTest(wrong), override_settings(TOOSIMPLEQ_MONITORING_TOKEN=wrong):
                [error] = [one for one in run_checks() if one.id == "toosimpleq.E010"]
                self.assertNotIn(str(wrong), str(error))
        self.assertFalse([one for one in run_checks() if one.id == "toosimpleq.E010"])
