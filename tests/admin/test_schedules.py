"""The page of one schedule: when it runs, what became of it, what keeps it, and its buttons."""

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest import mock
from zoneinfo import ZoneInfo

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection
from django.test import Client, SimpleTestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from freezegun import freeze_time

from django_toosimple_q.admin.cron_words import cron_words
from django_toosimple_q.cron import Cron
from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs
from django_toosimple_q.store.schedule_execs import DueSchedule
from tests.admin.pages import ESCAPED, MARKUP, AdminTestCase, list_url, messages_of, row_url
from tests.support import make_task, make_worker

MINUTE = timedelta(minutes=1)
ACTIONS = ("action_force_run", "action_pause", "action_resume")


def words(text, language="en"):
    with translation.override(language):
        return cron_words(Cron.parse(text, ZoneInfo("UTC"), "name"))


class CronWordsTests(SimpleTestCase):
    def test_five_fields_and_the_words_that_stand_for_them(self):
        self.assertEqual(words("30 8 * * mon-fri"), "At 08:30, Monday through Friday")
        self.assertEqual(words("*/15 9-17 * * *"), "Every 15 minutes, between 09:00 and 17:59")
        self.assertEqual(words("@hourly"), "Every hour")
        self.assertEqual(words("0 0 * * 7"), words("0 0 * * sun"))

    def test_the_active_language_where_the_library_has_it_else_english(self):
        self.assertEqual(words("30 8 * * mon-fri", "de"), "Um 08:30, Montag bis Freitag")
        self.assertEqual(words("30 8 * * mon-fri", "fr"), "À 08:30, de lundi à vendredi")
        self.assertIn("Mayo", words("0 0 1 may *", "es-mx"))
        self.assertIn("星期一", words("0 0 * * mon", "zh-hans"))
        for language in ("ca", "fil", "en-gb", None):
            self.assertEqual(words("30 8 * * mon", language), "At 08:30, only on Monday")

    def test_what_the_library_reads_otherwise_has_no_words(self):
        for text in (
            *("* * * * * */15", "0 0 1 1 * 0 2030", "manual"),
            *("H 3 * * *", "H/5 * * * *", "0 H(1-5) * * *"),
            *("*/40 * * * *", "0 */5 * * *", "0/40 * * * *"),
        ):
            self.assertEqual(words(text), "", text)

    def test_an_expression_that_the_library_refuses_has_no_words(self):
        with mock.patch("cron_descriptor.get_description", side_effect=KeyError("x")):
            self.assertEqual(words("7 7 7 7 *"), "")

    def test_without_the_library_there_are_none(self):
        with mock.patch.dict(sys.modules, {"cron_descriptor": None}):
            self.assertEqual(words("30 8 * * *"), "")


class SchedulePageTestCase(AdminTestCase):
    def define(self, cron="30 2 * * *", name="nightly", **options):
        task = make_task(f"task of {name}")
        schedule_task(cron=cron, name=name, **{"timezone": "Europe/Paris", **options})(task)
        return schedules_registry[name]

    def row(self, name="nightly", **fields):
        return ScheduleExec.objects.create(name=name, **fields)

    def reload(self, row):
        return ScheduleExec.objects.get(pk=row.pk)

    def queue(self, row, *occurrences):
        """Let a worker queue these occurrences."""
        last = self.reload(row).last_due
        due = DueSchedule(row.schedule, last, occurrences)
        return schedule_execs.advance([due], occurrences[-1]).queued[row.name]

    def notes(self, response):
        found = re.findall(r'<div class="tsq-note[^>]*>(.*?)</div>', response.content.decode())
        return [re.sub("<[^>]*>", "", one) for one in found]


class ExpressionTests(SchedulePageTestCase):
    def test_the_words_stand_beside_the_expression(self):
        self.define("30 2 * * mon-fri")
        row = self.row()

        for response in (self.row_page(row), self.list_page(ScheduleExec)):
            self.assertContains(response, '<code class="tsq-cron">30 2 * * mon-fri</code>')
            self.assertContains(response, "At 02:30, Monday through Friday")

    def test_without_the_library_the_expression_stands_alone(self):
        self.define("30 2 * * mon-fri")
        row = self.row()

        with mock.patch.dict(sys.modules, {"cron_descriptor": None}):
            for response in (self.row_page(row), self.list_page(ScheduleExec)):
                self.assertContains(response, "30 2 * * mon-fri</code>")
                self.assertNotContains(response, "Monday")

    @freeze_time("2026-10-23 12:00")
    def test_the_next_ten_show_where_the_clocks_change(self):
        self.define("0 12 * * *")

        response = self.row_page(self.row())

        text = response.content.decode()
        self.assertIn("2026-10-24 12:00:00 +02:00 CEST", text)
        self.assertIn("2026-10-25 12:00:00 +01:00 CET", text)
        listed = text[text.index("tsq-occurrences") :]
        self.assertEqual(len(re.findall("12:00:00", listed)), 10)
        [changed] = re.findall(r"<li>([^<]*)(?:(?!</li>).)*clocks have changed", listed)
        self.assertIn("2026-10-25", changed)

    def test_one_whose_last_year_is_over_has_none(self):
        self.define("0 0 1 1 * 0 2001")

        response = self.row_page(self.row())

        self.assertContains(response, "none, its expression names no later moment")

    def test_an_expression_that_cannot_be_computed_is_named_with_its_cure(self):
        schedule = self.define()
        broken = replace(schedule.expression)
        object.__setattr__(schedule, "expression", broken)
        row = self.row(last_due=timezone.now())

        with mock.patch.object(Cron, "_wall_after", side_effect=RuntimeError(MARKUP)):
            response = self.row_page(row)
            self.assertContains(self.list_page(ScheduleExec), "cannot be computed")

        self.assertContains(response, f"cannot be computed: RuntimeError: {ESCAPED}")
        self.assertContains(response, "Correct its expression, and restart the workers.")


class LastDueTests(SchedulePageTestCase):
    LABEL = '<td class="field-last_due_away">'

    def test_a_manual_schedule_has_none_though_its_row_counts_from_a_moment(self):
        schedule = self.define("manual")
        schedule_execs.sync([schedule], ["nightly"], timezone.now())
        schedule_execs.force(schedule, timezone.now())

        self.assertContains(self.list_page(ScheduleExec), f"{self.LABEL}-</td>")

    def test_nor_has_a_new_one_that_was_never_due(self):
        schedule = self.define()
        now = datetime(2026, 5, 1, 12, 0, 3, 4, tzinfo=UTC)
        schedule_execs.sync([schedule], ["nightly"], now)

        self.assertContains(self.list_page(ScheduleExec), f"{self.LABEL}-</td>")

    def test_an_occurrence_is_shown_in_the_schedule_s_zone(self):
        self.define(timezone="Asia/Tokyo")
        row = self.row(last_due=datetime(2026, 4, 30, 17, 30, tzinfo=UTC))

        self.assertContains(self.row_page(row), "2026-05-01 02:30:00 +09:00 JST</time>")

    def test_the_last_call_tells_it_after_a_pause_and_after_an_edit(self):
        self.define("0 * * * *", timezone="UTC")
        row = self.row(last_due=datetime(2026, 5, 1, 11, tzinfo=UTC))
        due = datetime(2026, 5, 1, 12, tzinfo=UTC)
        self.queue(row, due)
        ScheduleExec.objects.update(paused=due)
        self.act("action_resume", row)
        self.assertGreater(self.reload(row).last_due, due)

        self.assertContains(self.row_page(row), "2026-05-01 12:00:00 +00:00 UTC</time>")

        self.act("action_force_run", row)

        self.assertContains(self.row_page(row), "2026-05-01 12:00:00 +00:00 UTC</time>")


class RunTests(SchedulePageTestCase):
    def setUp(self):
        super().setUp()
        self.define("0 * * * *")
        self.due = datetime(2026, 5, 1, 12, tzinfo=UTC)
        self.schedule = self.row(last_due=self.due - timedelta(hours=1))

    def shown(self):
        text = self.row_page(self.schedule).content.decode()
        listed = text.partition('<ul class="tsq-runs">')[2].partition("</ul>")[0]
        return [re.sub(r"<[^>]*>|\s+", " ", one) for one in listed.split("</li>")[:-1]]

    def test_each_shows_when_it_was_due_how_late_it_began_and_how_it_ended(self):
        [call] = self.queue(self.schedule, self.due)
        started = self.due + timedelta(seconds=75)
        end = started + timedelta(seconds=2.5)
        fields = {"state": "FAILED", "started": started, "finished": end}
        TaskExec.objects.filter(pk=call.pk).update(**fields)

        [run] = self.shown()

        self.assertIn("2026-05-01 14:00:00 +02:00 CEST", run)
        for text in (f"#{call.pk}", "Failed", "began 1 min late", "took 2.5 s"):
            self.assertIn(text, run)

    def test_one_that_waits_says_for_how_long(self):
        self.queue(self.schedule, timezone.now() - timedelta(minutes=5))

        self.assertIn("has waited for 5 min", self.shown()[0])

    def test_a_retried_one_shows_its_last_attempt_and_how_late_the_first_began(self):
        [first] = self.queue(self.schedule, self.due)
        begun = {"due": self.due, "started": self.due + MINUTE, "finished": self.due + 2 * MINUTE}
        last = TaskExec.objects.create(
            task_name="t", root=first, attempt=3, state="SUCCEEDED", **begun
        )
        second = TaskExec.objects.create(
            task_name="t", root=first, attempt=2, state="FAILED", replaced_by=last, **begun
        )
        late = {"started": self.due + timedelta(seconds=3), "finished": self.due + MINUTE}
        TaskExec.objects.filter(pk=first.pk).update(state="FAILED", replaced_by=second, **late)

        [run] = self.shown()

        for text in (f"#{last.pk}", "Succeeded", "attempt 3", "began 3 s late", "took 1 min"):
            self.assertIn(text, run)

    def test_the_newest_ten_are_kept_whoever_queued_them(self):
        occurrences = [self.due + number * timedelta(hours=1) for number in range(13)]
        calls = self.queue(self.schedule, *occurrences[:8])
        calls += self.queue(self.schedule, *occurrences[8:])
        self.act("action_force_run", self.schedule)

        runs = self.shown()

        newest = [TaskExec.objects.latest("pk"), *reversed(calls)][:10]
        self.assertEqual(
            [re.search(r"#(\d+)", run)[1] for run in runs], [str(one.pk) for one in newest]
        )

    def test_deleted_ones_and_what_is_no_id_are_passed_over(self):
        [call] = self.queue(self.schedule, self.due)
        for recent in (f"{call.pk} 4711", f"x -1 {call.pk} {'9' * 30} {'1' * 5000} {MARKUP}"):
            ScheduleExec.objects.update(recent=recent)
            self.assertEqual(len(self.shown()), 1)

    def test_a_row_of_an_older_release_shows_its_last_call(self):
        [call] = self.queue(self.schedule, self.due)
        ScheduleExec.objects.update(recent="")

        self.assertIn(f"#{call.pk}", self.shown()[0])

    def test_it_takes_as_many_queries_for_ten_as_for_one(self):
        self.queue(self.schedule, self.due)
        self.shown()
        with CaptureQueriesContext(connection) as one:
            self.shown()
        self.queue(self.schedule, *(self.due + number * MINUTE for number in range(1, 12)))
        with CaptureQueriesContext(connection) as ten:
            self.assertEqual(len(self.shown()), 10)

        self.assertEqual(len(ten), len(one))
        self.assertLessEqual(len(ten), 25)


class NoteTests(SchedulePageTestCase):
    def test_a_sound_one_has_none(self):
        self.define()

        self.assertEqual(self.notes(self.row_page(self.row(last_due=timezone.now()))), [])

    def test_one_that_the_code_has_lost_shows_what_it_was(self):
        row = self.row("gone", state="INVALID", expression="0 3 * * * Europe/Paris")

        response = self.row_page(row)

        [note] = self.notes(response)
        self.assertIn("The code does not define this schedule", note)
        self.assertIn("Restore its definition and restart the workers, or delete this row.", note)
        self.assertContains(response, '<code class="tsq-cron">0 3 * * *</code>')

    def test_one_that_an_older_worker_marked_invalid_says_so(self):
        self.define(queue="two words")
        row = self.row(state="INVALID", last_due=timezone.now())

        [note] = self.notes(self.row_page(row))

        self.assertIn("A worker whose code lacks this schedule", note)
        self.assertIn("manage.py worker --queue &#x27;two words&#x27;", note)

    def test_a_broken_one_shows_its_error_and_the_cure(self):
        self.define()
        row = self.row(state="BROKEN", error="no such key", failed=timezone.now())

        response = self.row_page(row)

        [note] = self.notes(response)
        self.assertIn("Its calls cannot be queued", note)
        self.assertIn("Correct the schedule or its task, and restart the workers.", note)
        self.assertContains(response, '<pre class="tsq-text">no such key</pre>')

    def test_an_occurrence_that_no_worker_queued_is_named(self):
        self.define("0 * * * *")
        row = self.row(last_due=timezone.now() - timedelta(days=1))

        [note] = self.notes(self.row_page(row))

        self.assertIn("No worker has queued the occurrence of", note)
        self.assertIn("If none is busy, start one: manage.py worker --queue default", note)

    def test_a_paused_one_tells_since_when_and_how_it_goes_on(self):
        for catch_up, cure in (
            (False, "at its next occurrence"),
            (True, "queue what it has missed"),
        ):
            self.define(name=str(catch_up), catch_up=catch_up)
            paused = datetime(2026, 5, 1, 12, tzinfo=UTC)
            row = self.row(str(catch_up), last_due=paused, paused=paused)

            response = self.row_page(row)

            [note] = self.notes(response)
            self.assertIn("paused since 2026-05-01 14:00:00 +02:00 CEST", note)
            self.assertIn(cure, note)
            self.assertIn("Can pause and resume schedules", note)
            self.assertContains(response, "None of these is queued while it is paused.")

    def test_markup_is_shown_as_text(self):
        self.define(name=MARKUP, queue=MARKUP)
        fields = {"error": MARKUP, "expression": f"{MARKUP} {MARKUP}", "recent": MARKUP}
        rows = [
            self.row(MARKUP, state="BROKEN", **fields),
            self.row(f"gone {MARKUP}", state="INVALID", paused=timezone.now(), **fields),
            self.row("newer", state=MARKUP, **fields),
        ]

        for response in (*map(self.row_page, rows), self.list_page(ScheduleExec)):
            self.assertContains(response, ESCAPED)
            self.assertNotContains(response, MARKUP)

    def test_values_of_two_hundred_kilobytes_make_no_large_page(self):
        large = "1 " * 100_000
        row = self.row("gone", state="INVALID", expression=large, recent=large, error=large)

        self.assertLess(len(self.row_page(row).content), 40_000)

    def test_a_policy_without_inline_script_and_style_is_kept(self):
        self.define("0 * * * *")
        row = self.row(last_due=timezone.now() - timedelta(days=1), paused=timezone.now())
        self.act("action_force_run", row)

        text = self.row_page(row).content.decode()

        ours = text[text.index('class="object-tools"') : text.index('class="submit-row"')]
        self.assertIn("tsq-runs", ours)
        self.assertNotRegex(ours, r"\sstyle=|\son\w+=|javascript:|<style|<script")


class PauseTests(SchedulePageTestCase):
    def setUp(self):
        super().setUp()
        self.schedule = self.define()
        self.one = self.row(last_due=timezone.now())

    def press(self, action, row=None, client=None):
        """Press a button on the page of a row."""
        row = row or self.one
        form = {"action": action, "index": "0", "row_page": "1", "_selected_action": [row.pk]}
        return (client or self.client).post(list_url(ScheduleExec), form, follow=True)

    def test_it_is_paused_and_resumed_from_its_page_and_both_are_noted(self):
        response = self.press("action_pause")

        self.assertEqual(response.redirect_chain, [(row_url(self.one), 302)])
        self.assertEqual(messages_of(response), ["Schedule nightly is paused."])
        self.assertContains(response, "nightly [PAUSED]")
        self.assertIsNotNone(self.reload(self.one).paused)

        response = self.press("action_resume")

        self.assertEqual(messages_of(response), ["Schedule nightly is no longer paused."])
        self.assertIsNone(self.reload(self.one).paused)
        entries = LogEntry.objects.order_by("pk")
        self.assertEqual([one.change_message for one in entries], ["Paused.", "Resumed."])
        self.assertEqual({one.action_flag for one in entries}, {CHANGE})

    def test_pausing_twice_is_noted_once(self):
        self.press("action_pause")
        since = self.reload(self.one).paused
        self.press("action_pause")

        self.assertEqual(self.reload(self.one).paused, since)
        self.assertEqual(LogEntry.objects.count(), 1)

    def test_running_it_now_works_while_it_is_paused_and_leads_back(self):
        self.press("action_pause")

        response = self.press("action_force_run")

        call = TaskExec.objects.get()
        self.assertEqual(response.redirect_chain, [(row_url(self.one), 302)])
        self.assertContains(response, f"#{call.pk}</a>")
        self.assertIsNotNone(self.reload(self.one).paused)

    def test_the_page_offers_what_is_of_use(self):
        self.define("manual", "by hand")
        cases = {
            self.one: {"action_force_run", "action_pause"},
            self.row("by hand"): {"action_force_run"},
            self.row("gone", state="INVALID"): set(),
            self.row("gone and paused", paused=timezone.now()): {"action_resume"},
        }
        for row, expected in cases.items():
            text = self.row_page(row).content.decode()
            self.assertEqual({one for one in ACTIONS if f'value="{one}"' in text}, expected, row)

    def test_who_may_only_look_sees_no_button_and_can_do_nothing(self):
        ScheduleExec.objects.filter(pk=self.one.pk).update(paused=timezone.now())
        self.log_in_with("view_scheduleexec")

        for response in (self.row_page(self.one), self.list_page(ScheduleExec)):
            self.assertNotRegex(response.content.decode(), "action_(pause|resume|force_run)")
        for action in ACTIONS:
            with self.assertLogs("toosimpleq", "WARNING"):
                self.assertEqual(self.press(action).status_code, 403)

        self.assertIsNotNone(self.reload(self.one).paused)
        self.assertFalse(TaskExec.objects.exists())

    def test_each_permission_brings_its_button(self):
        user = self.log_in_with("view_scheduleexec", "pause_scheduleexec")

        text = self.row_page(self.one).content.decode()

        self.assertIn('value="action_pause"', text)
        self.assertNotIn("action_force_run", text)
        self.press("action_pause")
        self.assertEqual(LogEntry.objects.get().user_id, user.pk)

    def test_neither_a_link_nor_a_forged_post_changes_anything(self):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(self.admin)

        self.list_page(ScheduleExec, action="action_pause", _selected_action=self.one.pk, index="0")
        self.assertEqual(self.press("action_pause", client=strict).status_code, 403)

        self.assertIsNone(self.reload(self.one).paused)
        self.assertIn("csrfmiddlewaretoken", self.row_page(self.one).content.decode())

    def test_a_forged_id_leads_to_no_other_site(self):
        form = {"action": "action_pause", "index": "0", "row_page": "1"}
        for pk in ("//evil.example/", "4711", "' OR 1=1", "9" * 30):
            response = self.client.post(list_url(ScheduleExec), {**form, "_selected_action": pk})
            self.assertIn(response.status_code, (302, 400))
            self.assertTrue(response.get("Location", "/admin/").startswith("/admin/"), response)

    def test_the_list_filters_by_it(self):
        self.row("other")
        self.press("action_pause")

        for value, shown, hidden in (("1", "nightly", "other"), ("0", "other", "nightly")):
            response = self.list_page(ScheduleExec, paused=value)
            self.assertContains(response, f">{shown}</a>")
            self.assertNotContains(response, f">{hidden}</a>")

    def test_several_are_paused_from_the_list(self):
        other = self.row("other")

        response = self.act("action_pause", self.one, other)

        self.assertEqual(len(messages_of(response)), 2)
        self.assertEqual(ScheduleExec.objects.filter(paused__isnull=False).count(), 2)

    def test_the_time_line_of_the_dashboard_leaves_it_out(self):
        self.define("* * * * *", "each minute")
        row = self.row("each minute", last_due=timezone.now() - timedelta(hours=1))
        make_worker(now=timezone.now())
        page = "/admin/toosimpleq/"
        self.assertContains(self.client.get(page), "It did not run on")

        self.press("action_pause", row)

        response = self.client.get(page)
        self.assertNotContains(response, "It did not run on")
        self.assertNotContains(response, "each minute")
