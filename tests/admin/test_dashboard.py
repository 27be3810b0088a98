"""The dashboard: what it shows, to whom, and what its buttons do."""

import re
from datetime import timedelta
from pathlib import Path
from unittest import mock

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, SimpleTestCase, override_settings
from django.urls import reverse
from django.utils import timezone

import django_toosimple_q
from django_toosimple_q import queues
from django_toosimple_q.admin.dashboard import actions, charts
from django_toosimple_q.admin.dashboard.contents import PERIODS, SEEN
from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import Minute, QueueStatus, ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.store.minutes import minute_of
from django_toosimple_q.templatetags import toosimpleq
from tests.admin.pages import ESCAPED, MARKUP, AdminTestCase, messages_of
from tests.support import NOW, make_task, make_worker

ROOT = Path(django_toosimple_q.__file__).parent
PAGE = "/admin/toosimpleq/"


def page(response):
    return response.content.decode()


class DashboardTestCase(AdminTestCase):
    def call(self, state="FAILED", name="t", **fields):
        now = timezone.now()
        values = {"task_name": name, "state": state, "queue": "default", "due": now}
        if state in TaskExec.States.done():
            values |= {"started": now, "finished": now}
        return TaskExec.objects.create(**values | fields)

    def minute(self, ago=2, **fields):
        values = {"minute": minute_of(timezone.now()) - ago, "task_name": "t", "queue": "default"}
        return Minute.objects.create(worker_id=1, **values | fields)

    def sections(self, response):
        return set(re.findall(r'data-section="(\w+)"', page(response)))

    def press(self, action, client=None, **fields):
        url = reverse("admin:toosimpleq_taskexec_act")
        return (client or self.client).post(url, {"action": action, **fields}, follow=True)


class ShownTests(DashboardTestCase):
    def test_a_task_shows_which_share_of_its_calls_failed_for_good(self):
        self.minute(done=3, retried=40, failures=1)

        self.assertContains(self.client.get(PAGE), 'data-label="Failed for good"', 1)
        self.assertContains(self.client.get(PAGE), "25 %")

    def test_when_a_task_ended_last_is_known_to_the_minute(self):
        later = NOW + timedelta(seconds=50)
        with mock.patch.object(toosimpleq, "current_moment", return_value=later):
            for ago, shown in ((0, "this minute"), (7, ">7 min ago</time>")):
                Minute.objects.all().delete()
                minute = minute_of(NOW) - ago
                Minute.objects.create(minute=minute, task_name="t", queue="q", worker_id=1, done=1)

                self.assertContains(self.client.get(PAGE), shown)

    def test_it_is_the_index_page_of_the_app(self):
        make_worker(now=timezone.now())

        response = self.client.get(PAGE)

        self.assertContains(response, "All well: 1 worker, nothing late, no failures")
        self.assertContains(response, "/admin/toosimpleq/taskexec/")
        self.assertEqual(
            self.sections(response),
            {"verdict", "tiles", "throughput", "running", "failures", "queues", "workers", "tasks"},
        )

    def test_everything_there_is_is_shown(self):
        worker = make_worker("alpha", now=timezone.now())
        make_worker("gone", "g", now=timezone.now(), rescued=timezone.now())
        schedule_task(cron="* * * * *", name="each minute")(make_task("scheduled"))
        long_ago = timezone.now() - timedelta(hours=1)
        ScheduleExec.objects.create(name="each minute", last_due=long_ago)
        running = self.call(
            "PROCESSING", "runs", started=timezone.now(), worker_id=worker.worker_id
        )
        self.call("QUEUED", queue="mail")
        self.call("SLEEPING", due=timezone.now() + timedelta(hours=2))
        self.call(error_type="app.Broken")
        self.call("INTERRUPTED", hold=True)
        self.minute(done=5, failures=1, retried=2, run_5=8, wait_9=8)

        response = self.client.get(PAGE)

        text = page(response)
        for shown in ("alpha", "each minute", f"#{running.pk}", "app.Broken", "mail", "tsq-missed"):
            self.assertIn(shown, text)
        self.assertIn("5 done, 2 retried, 1 failed", text)
        self.assertIn(">lost<", text)
        self.assertIn("schedules", self.sections(response))

    def test_what_runs_has_its_progress_and_its_last_line_of_output(self):
        self.call(
            *("PROCESSING", "busy"),
            started=NOW,
            progress_done=3,
            progress_total=12,
            output_tail=f"{'x' * 5000}\n{MARKUP}\x1b[1m\n\n",
        )
        self.call("PROCESSING", "quiet", started=NOW)

        text = page(self.client.get(PAGE))

        self.assertIn('<progress class="tsq-progress" value="0.250" aria-label="3 of 12">', text)
        self.assertIn(f'<code class="tsq-last">{ESCAPED}\\x1b[1m</code>', text)
        self.assertNotIn("x" * 300, text)
        self.assertIn('data-label="Progress" class="tsq-work"><div>-</div></td>', text)

    def test_each_tile_and_link_leads_to_a_page(self):
        self.call("PROCESSING", started=timezone.now())
        self.call(error_type="app.Broken")
        make_worker(now=timezone.now())
        self.minute(done=1)

        found = set(
            re.findall(r'href="(/admin/toosimpleq/[^"]*|\?[^"]*)"', page(self.client.get(PAGE)))
        )

        self.assertGreater(len(found), 15)
        for url in found:
            url = url.replace("&amp;", "&").partition("#")[0]
            with self.subTest(url=url):
                self.assertEqual(
                    self.client.get(url if url[0] == "/" else PAGE + url).status_code, 200
                )

    def test_a_bar_leads_to_the_calls_of_its_minutes(self):
        inside = self.call("SUCCEEDED", "inside")
        self.call("SUCCEEDED", "outside", finished=timezone.now() - timedelta(minutes=30))
        self.minute(ago=0, done=1)

        url = re.search(r'href="([^"]*since=[^"]*)"', page(self.client.get(PAGE)))[1]
        found = self.client.get(url.replace("&amp;", "&")).context["cl"].result_list

        self.assertEqual([row.pk for row in found], [inside.pk])

    def test_each_period_and_order(self):
        for name in ("a", "b"):
            self.minute(task_name=name, done=1 if name == "a" else 5)
        for period in (*PERIODS, "1y", ""):
            for sort in (*charts.SORTED, "-name", "-runs", "nonsense"):
                with self.subTest(period=period, sort=sort):
                    response = self.client.get(PAGE, {"period": period, "sort": sort})
                    self.assertEqual(response.status_code, 200)

        names = re.findall(r'task_name=(\w)"', page(self.client.get(PAGE, {"sort": "runs"})))
        self.assertEqual(names, ["a", "b"])
        names = re.findall(r'task_name=(\w)"', page(self.client.get(PAGE, {"sort": "-runs"})))
        self.assertEqual(names, ["b", "a"])

    def test_an_empty_database(self):
        response = self.client.get(PAGE)

        self.assertContains(response, "No worker is alive. Nothing waits for one.")
        self.assertContains(response, "<code>manage.py worker</code>")

    def test_failures_since_the_last_visit_are_new(self):
        self.client.get(PAGE)
        earlier = (timezone.now() - timedelta(hours=2)).isoformat()
        session = self.client.session
        session[SEEN] = [earlier, earlier]
        session.save()
        self.call(error_type="E")
        self.call(error_type="E", finished=timezone.now() - timedelta(hours=3))

        self.assertContains(self.client.get(PAGE), "1 new since your last visit")
        # A reload is no other visit.
        self.assertContains(self.client.get(PAGE), "1 new since your last visit")

    def test_of_very_many_failures_the_newest_are_counted(self):
        with mock.patch("django_toosimple_q.overview.failures.GROUPED", 3):
            for _ in range(5):
                self.call(error_type="E")
            with mock.patch("django_toosimple_q.admin.dashboard.contents.GROUPED", 3):
                self.assertContains(self.client.get(PAGE), "<strong>3+</strong>")

    def test_it_takes_as_many_queries_whatever_there_is(self):
        for count in (1, 12):
            for number in range(count):
                make_worker(f"w{count}{number}", f"i{number}", now=timezone.now())
                self.call("PROCESSING", started=timezone.now(), queue=f"q{number}")
                self.call(error_type=f"E{number}")
                self.minute(task_name=f"t{number}", done=1)
            self.client.get(PAGE)
            with self.assertNumQueries(24):
                self.client.get(PAGE)


class DrawingTests(SimpleTestCase):
    def test_columns_stand_on_the_ground_and_their_parts_on_each_other(self):
        found = charts.outlines([[("done", 3), ("failures", 1)], [("done", 2)]], 0.5)

        self.assertEqual(
            found,
            [
                ("done", "M0.00 100.00v-75.00h25.00v75.00zM50.00 100.00v-50.00h25.00v50.00z"),
                ("failures", "M0.00 25.00v-25.00h25.00v25.00z"),
            ],
        )

    def test_nothing_is_drawn_of_nothing_and_of_numbers_that_nobody_counted(self):
        for columns in ([], [[]], [[("done", 0)]], [[("done", -2), ("failures", -3)]]):
            self.assertEqual(charts.outlines(columns, 0.8), [])
        [one] = charts.outlines([[("done", 2), ("failures", -2)]], 1)
        self.assertEqual(one, ("done", "M0.00 100.00v-100.00h100.00v100.00z"))


class HostileTests(DashboardTestCase):
    VALUES = (
        MARKUP,
        "\x00\x07\x1b[31mred\u202e gnp.exe".replace("\x00", ""),
        "{{ contents }}{% csrf_token %}",
        '" onmouseover="alert(1)',
    )

    def test_two_hundred_rows_of_garbage_are_shown_as_text(self):
        for number in range(50):
            for value in self.VALUES:
                name = f"{value}{number}"
                self.call(("FAILED", "INVALID")[number % 2], name, error_type=value, error=value)
                self.call("PROCESSING", name, started=timezone.now(), queue=name)
        for value in self.VALUES:
            self.minute(task_name=value, queue=value, done=3)
            make_worker(value, value[:9], included_queues=[value, 5, None], now=timezone.now())
            ScheduleExec.objects.create(name=value, state="BROKEN", error=value)
            QueueStatus.objects.create(name=value, paused=timezone.now())

        response = self.client.get(PAGE)

        text = page(response)
        self.assertEqual(response.status_code, 200)
        self.assertNotIn(MARKUP, text)
        self.assertIn(ESCAPED, text)
        self.assertNotIn('" onmouseover', text)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\u202e", re.sub(r'value="[^"]*"|%E2%80%AE', "", text))

    def test_rows_that_are_broken_and_a_clock_that_is_off(self):
        far = timezone.now() + timedelta(days=4000)
        self.call("PROCESSING", started=None, worker_id=10**6)
        self.call("PROCESSING", started=far)
        self.call("QUEUED", due=far)
        self.call("FAILED", finished=far)
        self.call("NEWER", "of another release")
        self.minute(ago=-9999, done=5)
        self.minute(ago=3, done=-5, run_4=-5)
        make_worker(now=far, timeout=timedelta(days=900))
        WorkerStatus.objects.update(included_queues=["x"], excluded_queues=[])
        ScheduleExec.objects.create(name="s", state="NEWER", last_due=far)

        for period in PERIODS:
            self.assertEqual(self.client.get(PAGE, {"period": period}).status_code, 200)

    def test_values_of_two_hundred_kilobytes_make_no_large_page(self):
        empty = len(page(self.client.get(PAGE)))
        large = "x" * 200_000
        for _ in range(20):
            self.call("PROCESSING", started=timezone.now(), stdout=large)
            self.call(error=large, error_message=large)
        ScheduleExec.objects.create(name="s", state="BROKEN", error=large)

        self.assertLess(len(page(self.client.get(PAGE))), empty + 60_000)

    def test_a_policy_without_inline_script_and_style_is_kept(self):
        self.call("PROCESSING", started=timezone.now())
        self.call(error_type="E")
        self.minute(done=3)
        text = page(self.client.get(PAGE))
        ours = text[text.index("data-toosimpleq") :]

        self.assertNotRegex(ours, r"\sstyle=|\son\w+=|javascript:|<style|<script(?![^>]*\ssrc=)")

    def test_the_script_is_short_and_puts_no_text_into_the_page_as_markup(self):
        script = (ROOT / "static/toosimpleq/dashboard.js").read_text()

        self.assertLess(len(script.splitlines()), 150)
        self.assertNotRegex(
            script, r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|document\.write"
        )


class PermissionTests(DashboardTestCase):
    def test_who_may_only_look_sees_no_buttons(self):
        self.log_in_with(
            *("view_taskexec", "view_queuestatus", "view_workerstatus", "view_scheduleexec")
        )
        self.call("PROCESSING", started=timezone.now())
        self.call(error_type="E")

        response = self.client.get(PAGE)

        self.assertIn("queues", self.sections(response))
        self.assertNotContains(response, 'class="tsq-do"')

    def test_each_permission_brings_its_buttons(self):
        self.call("PROCESSING", started=timezone.now())
        self.call(error_type="E")
        wanted = {
            "cancel_taskexec": {"cancel"},
            "requeue_taskexec": {"requeue", "dismiss"},
            "pause_queuestatus": {"pause"},
        }
        for codename, buttons in wanted.items():
            User.objects.filter(username="someone").delete()
            self.log_in_with("view_taskexec", "view_queuestatus", codename)
            text = page(self.client.get(PAGE))
            found = set(re.findall(r'name="action" value="(\w+)"', text))
            self.assertEqual(found, buttons)

    def test_a_section_needs_the_permission_for_its_rows(self):
        self.log_in_with("view_taskexec")
        make_worker("secret", now=timezone.now())

        response = self.client.get(PAGE)

        self.assertEqual(self.sections(response) & {"queues", "workers", "schedules"}, set())
        User.objects.filter(username="someone").delete()
        self.log_in_with("view_workerstatus")
        self.assertEqual(self.sections(self.client.get(PAGE)), set())

    def test_others_see_nothing(self):
        self.log_in_with()
        self.assertEqual(self.client.get(PAGE).status_code, 404)
        self.client.logout()
        self.assertEqual(self.client.get(PAGE).status_code, 302)

    def test_no_action_without_its_permission(self):
        row = self.call("QUEUED")
        failed = self.call(error_type="E")
        self.log_in_with("view_taskexec", "change_taskexec", "view_queuestatus")
        for action in (*actions.ACTIONS, "nonsense", ""):
            pk = row.pk if action == "cancel" else failed.pk
            fields = {"pk": pk, "queue": "default"}
            with self.subTest(action=action):
                self.assertEqual(self.press(action, **fields).status_code, 403)

        row.refresh_from_db()
        failed.refresh_from_db()
        self.assertEqual((row.state, failed.replaced_by), ("QUEUED", None))
        self.assertEqual((queues.paused(), LogEntry.objects.count()), ({}, 0))

    def test_a_forged_or_an_anonymous_post_changes_nothing(self):
        row = self.call("QUEUED")
        forged = Client(enforce_csrf_checks=True)
        forged.force_login(self.admin)

        self.assertEqual(self.press("cancel", forged, pk=row.pk).status_code, 403)
        self.press("cancel", Client(), pk=row.pk)

        row.refresh_from_db()
        self.assertEqual(row.state, "QUEUED")
        get = self.client.get(reverse("admin:toosimpleq_taskexec_act"), {"action": "cancel"})
        self.assertEqual(get.status_code, 405)


class ActionTests(DashboardTestCase):
    def notes(self):
        return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]

    def test_cancel(self):
        waiting, running = self.call("QUEUED"), self.call("PROCESSING", started=NOW)
        says = []
        for row in (waiting, running):
            says += messages_of(self.press("cancel", pk=row.pk))
            row.refresh_from_db()

        self.assertEqual(
            says,
            [
                f"Task #{waiting.pk} is cancelled. It never begins.",
                f"Task #{running.pk} was asked to stop. "
                "If it runs, it ends when it checks for that.",
            ],
        )

        self.assertEqual(waiting.state, "INTERRUPTED")
        self.assertIsNotNone(running.cancelled)
        self.assertEqual(self.notes(), ["Cancelled."] * 2)
        self.assertContains(self.client.get(PAGE), "cancelled")

    def test_cancelling_what_is_not_there(self):
        ended = self.call("SUCCEEDED")
        for pk in (ended.pk, 0, "", "x", "²", "9" * 40, "-1"):
            response = self.press("cancel", pk=pk)
            self.assertEqual(messages_of(response), ["It had ended already."])
        self.assertEqual(self.notes(), [])

    def test_retry_all_queues_a_group_again_and_only_that(self):
        make_task("t", retries=3)
        ours = [self.call(error_type="E", args=[number]) for number in range(90)]
        other = [self.call(error_type="F"), self.call(name="u", error_type="E")]
        retried = self.call(error_type="E", replaced_by=other[0])

        response = self.press("requeue", pk=ours[0].pk, query="?period=24h")

        self.assertEqual(messages_of(response), ["90 tasks queued again."])
        self.assertEqual(response.redirect_chain, [(f"{PAGE}?period=24h", 302)])
        for row in ours[:3]:
            row.refresh_from_db()
            new = row.replaced_by
            self.assertEqual((new.state, new.args, new.attempt), ("QUEUED", row.args, 2))
            self.assertEqual((new.root_id, new.retries), (row.pk, 3))
        self.assertEqual(TaskExec.objects.filter(state="QUEUED").count(), 90)
        retried.refresh_from_db()
        self.assertEqual(retried.replaced_by, other[0])
        self.assertEqual(self.notes(), ["Failures with E queued again: 90."])
        self.assertNotContains(self.client.get(PAGE), "error_type=E&amp;task_name=t")

        self.press("requeue", pk=ours[0].pk)
        self.assertEqual(TaskExec.objects.filter(state="QUEUED").count(), 90)
        self.assertEqual(
            messages_of(self.press("requeue", pk=10**9)), ["It is not there any more."]
        )
        self.assertEqual(messages_of(self.press("dismiss", pk="x")), ["It is not there any more."])

    def test_what_cannot_be_read_is_left_and_named(self):
        make_task("t")
        good, bad = self.call(error_type="E"), self.call(error_type="E")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE toosimpleq_taskexec SET args = 'x' WHERE id = %s", [bad.pk])

        response = self.press("requeue", pk=good.pk)

        good.refresh_from_db()
        bad.refresh_from_db()
        self.assertIsNotNone(good.replaced_by)
        self.assertIsNone(bad.replaced_by)
        self.assertIn(f"task {bad.pk} cannot be queued again", messages_of(response)[1])

    def test_dismissed_failures_are_gone_until_the_next(self):
        row = self.call(error_type="E")

        self.press("dismiss", pk=row.pk)

        self.assertContains(self.client.get(PAGE), "Nothing has failed for good.")
        self.assertEqual(TaskExec.objects.filter(state="FAILED").count(), 1)
        self.assertEqual(self.notes(), ["Failures with E dismissed."])
        self.call(error_type="E")
        self.assertNotContains(self.client.get(PAGE), "Nothing has failed for good.")
        # What was dismissed is not retried with it.
        make_task("t")
        self.press("requeue", pk=row.pk)
        self.assertEqual(TaskExec.objects.filter(state="QUEUED").count(), 1)

    def test_pause_and_resume(self):
        self.press("pause", queue="mail")
        self.assertEqual(list(queues.paused()), ["mail"])
        self.assertContains(self.client.get(PAGE), "Resume")
        self.press("resume", queue="mail")
        self.assertEqual(queues.paused(), {})
        self.press("resume", queue="mail")

        self.assertEqual(self.notes(), ["Paused.", "Resumed."])

    def test_a_name_that_no_queue_can_have(self):
        for name in ("", "x" * 300, "a\x00b"):
            response = self.press("pause", queue=name)
            self.assertEqual(response.status_code, 200)
        self.assertEqual(queues.paused(), {})

    def test_it_returns_to_no_other_site(self):
        for query in ("//evil.example", "https://evil.example", "\r\nX: y"):
            response = self.press("pause", queue="mail", query=query)
            self.assertEqual(response.redirect_chain[0][0], PAGE)


@override_settings(
    TEMPLATES=[{**settings.TEMPLATES[0], "DIRS": [ROOT / "templates"]}],
)
class BoxTests(DashboardTestCase):
    """The templates come before the admin's here, as if the app did."""

    def test_the_start_page_says_how_things_stand(self):
        response = self.client.get("/admin/")

        self.assertContains(response, "No worker is alive. Nothing waits for one.")
        self.assertContains(response, f'href="{PAGE}"')
        self.assertContains(response, "/admin/auth/user/")

    def test_the_pages_of_other_apps_do_not(self):
        self.assertNotContains(self.client.get("/admin/auth/"), "tsq-box")

    def test_nor_does_it_to_those_who_may_not_see_calls(self):
        self.log_in_with("view_user", "view_queuestatus")

        self.assertNotContains(self.client.get("/admin/"), "tsq-box")
