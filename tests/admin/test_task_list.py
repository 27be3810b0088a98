"""The list of calls: its tabs, filters and search, and how an attempt is told from a call."""

import re
from datetime import timedelta
from itertools import pairwise
from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import lists as store
from tests.admin.pages import ESCAPED, MARKUP, AdminTestCase
from tests.support import States, make_worker

# What no list has room for.
HEAVY = 200_000


class ListTestCase(AdminTestCase):
    def setUp(self):
        super().setUp()
        self.now = timezone.now()

    def call(self, state="QUEUED", name="t", ago=60, **fields):
        """Make a call that ended, started or is due so many seconds ago."""
        moment = self.now - timedelta(seconds=ago)
        values = {"task_name": name, "state": state, "queue": "default", "due": moment}
        if state != States.QUEUED and state != States.SLEEPING:
            values["started"] = moment
        if state in States.done():
            values["finished"] = moment
        return TaskExec.objects.create(**values | fields)

    def chain(self, *states, name="t"):
        """Make attempts of one call, each the replacement of the one before it."""
        rows = []
        for number, state in enumerate(states, 1):
            root = rows[0] if rows else None
            retries = 6 - number
            rows.append(self.call(state, name, attempt=number, retries=retries, root=root))
        for old, new in pairwise(rows):
            TaskExec.objects.filter(pk=old.pk).update(replaced_by=new)
        return rows

    def found(self, **query):
        return [row.pk for row in self.list_page(TaskExec, **query).context["cl"].result_list]

    def assert_shows(self, rows, **query):
        self.assertEqual(sorted(self.found(**query)), sorted(row.pk for row in rows))


class TabTests(ListTestCase):
    def setUp(self):
        super().setUp()
        self.rows = {
            "active": self.call("PROCESSING"),
            "pending": self.call("QUEUED"),
            "future": self.call("SLEEPING", ago=-60),
            "failed": self.call("FAILED"),
            "held": self.call("INTERRUPTED", hold=True),
            "interrupted": self.call("INTERRUPTED"),
            "done": self.call("SUCCEEDED"),
        }
        # Those are nobody's concern, or never began.
        self.call("FAILED", replaced_by=self.rows["done"])
        self.call("INTERRUPTED", hold=True, replaced_by=self.rows["done"])
        self.invalid = self.call("INVALID")
        self.cancelled = self.call("INTERRUPTED", hold=True, started=None)

    def test_each_shows_its_calls(self):
        more = {"failed": [self.invalid], "interrupted": [self.cancelled]}

        for group, row in self.rows.items():
            with self.subTest(group):
                self.assert_shows([row, *more.get(group, ())], group=group)

    def test_all_shows_each_call_once(self):
        self.assert_shows([*self.rows.values(), self.invalid, self.cancelled])

    def test_each_says_how_many_there_are(self):
        tabs = self.list_page(TaskExec).context["cl"].tabs

        found = {str(tab.label): tab.amount for tab in tabs}

        self.assertEqual(
            found,
            {
                **{"All": "", "Running": "1", "Waiting": "1", "Scheduled": "1"},
                **{"Failed for good": "2", "Held": "1", "Interrupted": "2", "Done": "1"},
            },
        )

    def test_counting_stops_at_a_thousand(self):
        with mock.patch.object(store, "COUNTED", 3):
            for _ in range(3):
                self.call("QUEUED")
                self.call("FAILED")
            response = self.list_page(TaskExec)

        self.assertContains(response, "Waiting <span>3+</span>")
        self.assertContains(response, "Failed for good <span>3+</span>")
        self.assertContains(response, "Done <span>1</span>")

    def test_the_current_one_is_marked_and_keeps_the_filters_by_value(self):
        response = self.list_page(TaskExec, group="failed", queue="default", within="1h")

        tabs = page(response).partition('class="tsq-tabs"')[2]
        current = re.search(r'<a href="[^"]*" aria-current="page">([^<]+)', tabs)[1]
        self.assertEqual(current.strip(), "Failed for good")
        self.assertContains(response, 'href="?group=done&amp;queue=default"')

    def test_links_of_older_pages_still_lead_to_their_calls(self):
        self.assert_shows([self.rows["active"]], state__exact="PROCESSING")
        self.assert_shows([self.rows["failed"]], state__exact="FAILED")
        self.assert_shows([self.rows["held"], self.rows["interrupted"]], group="dirty")

    def test_an_unknown_tab_shows_all(self):
        self.assertEqual(self.found(group="nonsense"), self.found())


class OrderTests(ListTestCase):
    def test_what_ended_last_what_waits_first_and_what_is_due_next_come_first(self):
        for state, group in (("FAILED", "failed"), ("SUCCEEDED", "done")):
            old, new = self.call(state, ago=9), self.call(state, ago=5)
            older = self.call(state, ago=90)
            self.assertEqual(self.found(group=group), [new.pk, old.pk, older.pk])
        late, soon = self.call("SLEEPING", ago=-90), self.call("SLEEPING", ago=-9)
        self.assertEqual(self.found(group="future"), [soon.pk, late.pk])
        second, first = self.call("QUEUED", ago=9), self.call("QUEUED", ago=5, priority=5)
        self.assertEqual(self.found(group="pending"), [first.pk, second.pk])


class AttemptTests(ListTestCase):
    def test_a_call_is_shown_as_its_last_attempt(self):
        first, _second, last = self.chain("FAILED", "FAILED", "SUCCEEDED")

        response = self.list_page(TaskExec)

        self.assert_shows([last])
        self.assertContains(response, f'<a href="?q=%23{first.pk}">attempt 3 of 6</a>')
        self.assertNotContains(response, "tried again")

    def test_a_failure_that_was_retried_looks_different_from_a_final_one(self):
        self.chain("FAILED", "INTERRUPTED", "FAILED")

        text = page(self.list_page(TaskExec, attempts="all"))

        self.assertEqual(text.count("tsq-state tsq-replaced"), 2)
        self.assertIn("Failed, tried again", text)
        self.assertIn("Interrupted, tried again", text)
        self.assertEqual(text.count("tsq-state tsq-failed"), 1)

    def test_all_attempts_of_a_call_are_one_click_away(self):
        rows = self.chain("FAILED", "FAILED", "SUCCEEDED")
        self.call(name="other")

        self.assert_shows(rows, q=f"#{rows[0].pk}")
        self.assert_shows(rows, attempts="all", task_name="t", group="")

    def test_a_held_call_says_so(self):
        self.call("INTERRUPTED", hold=True)

        self.assertContains(self.list_page(TaskExec), "held for a person")


class SearchTests(ListTestCase):
    def setUp(self):
        super().setUp()
        self.mail = self.call("SUCCEEDED", "shop.mail", args=["ann@example.org"], kwargs={"n": 1})
        self.report = self.call("FAILED", "report", error_type="builtins.KeyError", args=[4711])

    def test_by_id(self):
        for text in (f"#{self.mail.pk}", f" #{self.mail.pk} "):
            self.assert_shows([self.mail], q=text)

    def test_by_id_looks_beyond_the_tab_and_at_attempts_that_were_retried(self):
        first, *_ = self.chain("FAILED", "SUCCEEDED")

        self.assertIn(first.pk, self.found(q=f"#{first.pk}", group="pending", within="1h"))

    def test_by_an_id_that_there_is_not(self):
        for text in ("#0", "#99999999", "#" + "9" * 50, "#007"):
            self.assert_shows([], q=text)

    def test_by_arguments(self):
        self.assert_shows([self.mail], q="ann@example")
        self.assert_shows([self.mail], q="n=1")
        self.assert_shows([self.report], q="4711")

    def test_by_error_type_and_by_name(self):
        self.assert_shows([self.report], q="keyerror")
        self.assert_shows([self.mail], q="SHOP.")

    def test_what_no_column_holds_finds_nothing(self):
        for text in ("%", "_", "\\", "#", "# 1", "#-1", "#½", "🚀", "x" * 5000):
            with self.subTest(text):
                self.assert_shows([], q=text)

    def test_a_nul_in_the_address_breaks_nothing(self):
        for name in ("q", "task_name", "queue", "error_type", "worker__id__exact", "group"):
            response = self.client.get(f"/admin/toosimpleq/taskexec/?{name}=%00")
            self.assertIn(response.status_code, (200, 302), name)


class FilterTests(ListTestCase):
    def test_by_time(self):
        for state, group in (
            *(("SUCCEEDED", "done"), ("FAILED", "failed"), ("PROCESSING", "active")),
            *(("QUEUED", "pending"),),
        ):
            recent, old = self.call(state), self.call(state, ago=7200)
            with self.subTest(group):
                self.assert_shows([recent], group=group, within="1h")
                self.assert_shows([recent, old], group=group, within="24h")

    def test_by_time_ahead(self):
        soon, _late = self.call("SLEEPING", ago=-60), self.call("SLEEPING", ago=-7200)

        self.assert_shows([soon], group="future", within="1h")
        self.assertContains(self.list_page(TaskExec, group="future"), "Due in the next hour")

    def test_by_time_without_a_tab_shows_what_ended(self):
        recent = [self.call("SUCCEEDED"), self.call("INVALID")]
        self.call("FAILED", ago=7200)
        self.call("QUEUED")

        self.assert_shows(recent, within="1h")

    def test_by_a_range_of_time(self):
        inside, before, after = (self.call("FAILED", ago=ago) for ago in (300, 600, 60))
        since = self.now - timedelta(seconds=400)
        until = self.now - timedelta(seconds=200)

        bounds = {"since": since.isoformat(), "until": until.isoformat()}
        self.assert_shows([inside], group="failed", **bounds)
        self.assert_shows([inside], **bounds)
        self.assert_shows([inside, after], group="failed", since=since.isoformat())
        self.assertContains(self.list_page(TaskExec, **bounds), "Show any time")
        self.assertIn(before.pk, self.found(until=until.isoformat()))

    def test_a_moment_that_is_none_is_left_out(self):
        row = self.call("FAILED")

        for text in ("x", "2026-13-45", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "\0"):
            self.assert_shows([row], since=text, until=text, within=text)

    def test_by_a_queue_whose_name_no_queue_can_have(self):
        self.call("QUEUED")

        for name in ("x" * 300, "a\x00b", ""):
            self.assert_shows([], group="pending", queue=name)

    def test_by_worker(self):
        worker = make_worker("alpha", now=self.now).worker_id
        mine = self.call("SUCCEEDED", worker_id=worker)
        self.call("SUCCEEDED", worker_id=worker + 1)

        self.assert_shows([mine], worker__id__exact=worker)
        self.assert_shows([], worker__id__exact="x")
        self.assertContains(self.list_page(TaskExec), f'href="?worker__id__exact={worker}"')

    def test_by_a_worker_whose_row_is_gone(self):
        row = self.call("SUCCEEDED", worker_id=4711)

        self.assert_shows([row], worker__id__exact=4711)
        self.assertContains(self.list_page(TaskExec, worker__id__exact=4711), "#4711")

    def test_by_error_type(self):
        mine = self.call("FAILED", error_type="app.Broken")
        self.call("FAILED", error_type="app.Other")

        self.assert_shows([mine], error_type="app.Broken")
        self.assertContains(self.list_page(TaskExec), 'href="?error_type=app.Other"')

    def test_the_error_types_are_those_of_the_last_failures(self):
        with mock.patch.object(store, "ERRORS_READ", 2):
            for number in range(4):
                self.call("FAILED", error_type=f"app.E{number}", ago=9 - number)

            self.assertEqual(store.error_types(), ["app.E2", "app.E3"])


class BoundTests(ListTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(mock.patch.stopall)
        mock.patch.object(store, "SEARCHED", 4).start()
        mock.patch.object(store, "BAD_SEARCHED", 4).start()
        mock.patch.object(store, "WAITING_LISTED", 4).start()

    def test_a_filter_looks_through_the_newest_and_leads_to_older_ones(self):
        rows = [self.call("FAILED", f"n{number}", ago=99 - number) for number in range(9)]

        response = self.list_page(TaskExec, group="failed", task_name="n2")

        self.assertEqual(list(response.context["cl"].result_list), [])
        self.assertContains(response, "This list looks through 4 calls.")
        url = re.search(r'href="([^"]*until=[^"]*)"', page(response))[1].replace("&amp;", "&")
        [older] = self.client.get(f"/admin/toosimpleq/taskexec/{url}").context["cl"].result_list
        self.assertEqual(older.pk, rows[2].pk)

    def test_every_tab_is_bounded(self):
        for _ in range(9):
            for state in ("QUEUED", "SLEEPING", "SUCCEEDED", "FAILED", "INTERRUPTED"):
                self.call(state, ago=len(state) * 7 + _)

        for group in ("", "pending", "future", "failed", "interrupted", "done"):
            with self.subTest(group):
                # And one more that ended at the very same moment.
                self.assertIn(len(self.found(group=group)), (4, 5))
                self.assertContains(self.list_page(TaskExec, group=group), "looks through 4")

    def test_all_states_of_a_list_stop_at_one_moment(self):
        for number in range(9):
            self.call("SUCCEEDED", "often", ago=number)
        self.call("FAILED", "newer", ago=2)
        self.call("FAILED", "older", ago=20)

        # The four that ended last, and one that ended when the list stopped.
        response = self.list_page(TaskExec, within="24h")
        names = [row.task_name for row in response.context["cl"].result_list]
        self.assertEqual(sorted(names), ["newer", *["often"] * 4])

    def test_calls_that_ended_badly_have_a_bound_of_their_own(self):
        with mock.patch.object(store, "BAD_SEARCHED", 2):
            for state in ("SUCCEEDED", "FAILED"):
                for number in range(9):
                    self.call(state, ago=number)

            self.assertContains(self.list_page(TaskExec, group="failed"), "looks through 2")
            self.assertContains(self.list_page(TaskExec, group="done"), "looks through 4")

    def test_of_what_waits_a_queue_has_a_bound_of_its_own(self):
        for _ in range(9):
            self.call("QUEUED", queue="a")
        row = self.call("QUEUED", queue="z")

        self.assert_shows([row], group="pending", queue="z")
        self.assert_shows([row], state__exact="QUEUED", queue="z")

    def test_a_list_that_was_looked_through_does_not_say_so(self):
        for state in ("QUEUED", "FAILED"):
            self.call(state)

        self.assertNotContains(self.list_page(TaskExec), "looks through")


class HostileListTests(ListTestCase):
    VALUES = (MARKUP, "\x01\x1b[31m\u202e gnp.exe", "{{ cl }}{% now 'Y' %}", '" onclick="x')

    def test_any_value_is_shown_as_text(self):
        for number, value in enumerate(self.VALUES * 5):
            state = States.values[number % len(States.values)]
            self.call(
                *(state, f"{value}{number}"),
                args=[value],
                kwargs={value: value},
                queue=value,
                error_type=value,
                error_message=value,
                error=value,
                result_preview=value,
                hold=True,
                progress_done=1,
                progress_message=value,
                worker_id=make_worker(f"{value}{number}", str(number)).worker_id,
            )

        for query in ({}, {"attempts": "all"}, {"group": "failed"}, {"q": MARKUP}):
            text = page(self.list_page(TaskExec, **query))
            self.assertNotIn(MARKUP, text)
            self.assertIn(ESCAPED, text)
            self.assertNotIn('" onclick', text)
            shown = re.search(r'<table id="result_list">.*?</table>', text, re.DOTALL)[0]
            cells = re.sub(r'class="tsq-preview".*?</span>|title="[^"]*"|href="[^"]*"', "", shown)
            names = re.findall(r'tsq-(?:name|arguments|line)">(.*?)</span>', cells, re.DOTALL)
            self.assertTrue(names)
            for name in names:
                self.assertNotRegex(name, "[\x01\x1b\u202e]")

    def test_large_values_make_no_large_page(self):
        empty = len(self.list_page(TaskExec).content)
        large = "x" * HEAVY
        for state in States.values:
            self.call(state, args=[large], kwargs={"k": large}, error=large, error_message=large)
            TaskExec.objects.update(stdout=large, stderr=large)

        self.assertLess(len(self.list_page(TaskExec).content), empty + 40_000)

    def test_rows_that_are_broken_and_a_clock_that_is_off(self):
        far = self.now + timedelta(days=4000)
        self.call("NEWER")
        self.call("PROCESSING", started=None, worker_id=10**6)
        self.call("SUCCEEDED", started=far, finished=far)
        self.call("FAILED", finished=None, attempt=-5, retries=-7)
        self.call("SLEEPING", due=far)

        for group in ("", *store.PARTS):
            self.assertEqual(self.list_page(TaskExec, group=group).status_code, 200)

    def test_a_policy_without_inline_script_and_style_is_kept(self):
        for state in States.values:
            self.call(state, progress_done=1, progress_total=2)
        text = page(self.list_page(TaskExec, within="1h", attempts="all"))
        ours = text[text.index('class="tsq-tabs"') : text.index('id="changelist-filter"')]
        ours += text[text.index('id="tsq-press"') :]

        self.assertNotRegex(ours, r"\sstyle=|\son\w+=|javascript:|<style|<script(?![^>]*\ssrc=)")

    def test_no_payload_is_read(self):
        self.call(args=["a"])

        with CaptureQueriesContext(connection) as queries:
            self.list_page(TaskExec, q="a")

        for query in queries.captured_queries:
            self.assertNotRegex(query["sql"], r'["`](args|kwargs|result|stdout|stderr)["`]')


class QueryTests(ListTestCase):
    def test_what_is_nowhere_is_looked_for_once(self):
        self.call()

        with CaptureQueriesContext(connection) as queries:
            self.list_page(TaskExec, q="no such text")

        searches = [one for one in queries.captured_queries if "such" in one["sql"].lower()]
        self.assertEqual(len(searches), 1, searches)

    def test_every_page_takes_fewer_than_25_queries_however_many_rows(self):
        for count in (2, 30):
            for number in range(count):
                for state in States.values:
                    self.call(state, error_type=f"E{number}", queue=f"q{number}")
            for query in (
                *({"group": group, "q": "t"} for group in ("", *store.PARTS)),
                *({"within": "7d"}, {"q": "#5"}, {"attempts": "all"}),
            ):
                with CaptureQueriesContext(connection) as queries:
                    self.list_page(TaskExec, **query)
                self.assertLess(len(queries), 14, query)


def page(response):
    return response.content.decode()
