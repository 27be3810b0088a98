"""Acting on very many calls: by a task of the queue, each row once, and only by who may."""

from unittest import mock

from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from django_toosimple_q import bulk_task, queues
from django_toosimple_q.admin import lists
from django_toosimple_q.admin.bulk import ask
from django_toosimple_q.admin.bulk.run import BulkAction
from django_toosimple_q.admin.bulk.selection import LOOKUPS, Selection, asked_at
from django_toosimple_q.bulk_task import act_on_many
from django_toosimple_q.exceptions import Cancel, InvalidArguments, Retry
from django_toosimple_q.execution import running
from django_toosimple_q.models import BulkRun, QueueStatus, TaskExec
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.store import bulk as store
from django_toosimple_q.store import lists as list_store
from django_toosimple_q.testing import run_queued
from tests.admin.pages import AdminTestCase, list_url, messages_of, row_url
from tests.support import NOW, States, claimed, make_task, make_worker, reload

NAME = "django_toosimple_q.bulk"
MANY = ask.AT_ONCE + 1
ACTIONS = {"requeue": "action_requeue", "cancel": "action_cancel", "delete": "delete_selected"}


class BulkTestCase(AdminTestCase):
    def setUp(self):
        super().setUp()
        tasks_registry.register(act_on_many.task)
        make_task("mail", queue="mail")

    def fill(self, count=MANY, state=States.FAILED, **fields):
        """Make rows that only a worker of the queue "mail" would take."""
        values = {"task_name": "mail", "queue": "mail", "state": state, "args": ["a"], **fields}
        if state in States.done():
            values = {"started": NOW, "finished": NOW, **values}
        TaskExec.objects.bulk_create([TaskExec(**values) for _ in range(count)], batch_size=500)
        return list(TaskExec.objects.filter(task_name="mail").order_by("pk"))[-count:]

    def post(self, action, client=None, query="", **more):
        """Post an action on all rows that match the list's parameters."""
        form = {"action": ACTIONS[action], "index": "0", "_selected_action": ["1"]}
        form |= {"select_across": "1", "post": "yes", **more}
        return (client or self.client).post(f"{list_url(TaskExec)}?{query}", form, follow=True)

    def run_bulk(self):
        """Run the task, as a worker of its queue does, and return its row."""
        [row] = [row for row in run_queued("default") if row.task_name == NAME]
        return row

    def waiting(self):
        return TaskExec.objects.filter(task_name="mail", state=States.QUEUED)

    def notes(self):
        return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


class AskTests(BulkTestCase):
    def test_a_few_are_changed_in_the_request_and_many_by_a_task(self):
        self.fill(ask.AT_ONCE)
        self.post("requeue")
        self.assertEqual(self.waiting().count(), ask.AT_ONCE)
        TaskExec.objects.all().delete()
        LogEntry.objects.all().delete()
        self.fill(ask.AT_ONCE + 1)

        response = self.post("requeue")

        self.assertEqual(self.waiting().count(), 0)
        row = TaskExec.objects.get(task_name=NAME)
        self.assertEqual((row.queue, row.priority), ("default", 100))
        self.assertIn("A task queues 101 calls again", messages_of(response)[0])
        self.assertContains(response, f'<a href="{row_url(row)}">#{row.pk}</a>')
        self.assertEqual(self.notes(), [])

        self.run_bulk()

        self.assertEqual(self.waiting().count(), ask.AT_ONCE + 1)
        self.assertEqual(self.notes(), [f"101 of 101 calls queued again by task #{row.pk}."])

    def test_ticked_rows_are_those_that_are_changed(self):
        rows = self.fill(MANY + 20)

        self.post("requeue", select_across="0", _selected_action=[row.pk for row in rows[:MANY]])
        self.run_bulk()

        self.assertEqual(self.waiting().count(), MANY)
        self.assertIsNone(reload(rows[-1]).replaced_by)

    def test_without_a_worker_that_takes_it_the_message_says_so(self):
        for fields, said in (
            ({}, True),
            ({"included_queues": ["mail"]}, True),
            ({"tasks": ["mail"]}, True),
            ({"now": NOW}, True),
            ({"stopped": NOW}, True),
            ({"tasks": [NAME]}, False),
        ):
            self.fill()
            values = {"now": timezone.now(), "tasks": [NAME], **fields}
            if fields:
                make_worker(str(fields), str(len(str(fields))), **values)
            with self.subTest(fields=fields):
                texts = " ".join(messages_of(self.post("requeue")))
                self.assertEqual("manage.py worker --queue default" in texts, said, texts)
        QueueStatus.objects.create(name="default")
        queues.pause("default")

        self.assertIn("is paused", messages_of(self.post("requeue"))[-1])

    def test_who_may_only_look_can_neither_see_nor_post_it(self):
        self.fill()
        self.log_in_with("view_taskexec", "change_taskexec")
        for action, name in ACTIONS.items():
            with self.subTest(action=action):
                self.assertNotContains(self.list_page(TaskExec), name)
                with self.assertLogs("toosimpleq", "WARNING"):
                    self.assertEqual(self.post(action).status_code, 403)

        self.assertEqual(TaskExec.objects.count(), MANY)

    def test_a_forged_or_an_anonymous_post_changes_nothing(self):
        self.fill()
        forged = Client(enforce_csrf_checks=True)
        forged.force_login(self.admin)

        self.assertEqual(self.post("requeue", forged).status_code, 403)
        self.post("requeue", Client())

        self.assertEqual(TaskExec.objects.count(), MANY)

    @mock.patch.object(lists, "ROWS_COUNTED", 105)
    @mock.patch.object(ask, "ROWS_COUNTED", 105)
    def test_more_than_the_list_counts_are_asked_about_first(self):
        self.fill(110)
        self.assertContains(self.list_page(TaskExec), "Select all that match, more than 105")

        question = self.post("requeue", post="")

        self.assertContains(question, "Queue 105+ calls again?")
        self.assertFalse(TaskExec.objects.filter(task_name=NAME).exists())
        self.post("requeue")
        self.run_bulk()
        self.assertEqual(self.waiting().count(), 110)

    def test_many_are_deleted_only_after_a_question(self):
        rows = self.fill()
        ticked = {"select_across": "0", "_selected_action": [row.pk for row in rows]}
        for more in ({}, ticked):
            question = self.post("delete", **{**more, "post": ""})
            self.assertContains(question, f"Delete {MANY} calls, with their earlier attempts?")
            self.assertContains(question, 'value="delete_selected"')
        self.assertContains(question, f'name="_selected_action" value="{rows[-1].pk}"')

        self.post("delete", **ticked)
        self.run_bulk()

        self.assertEqual(TaskExec.objects.filter(task_name="mail").count(), 0)

    def test_a_site_without_the_action_to_delete_has_none(self):
        self.fill()
        actions = dict(site._actions)
        del actions["delete_selected"]

        with mock.patch.object(site, "_actions", actions):
            self.assertNotContains(self.list_page(TaskExec), "delete_selected")

    def test_a_setting_that_cannot_be_is_named(self):
        for name, wrong in (("QUEUE", "a,b"), ("QUEUE", 5), ("PRIORITY", "high")):
            name = f"TOOSIMPLEQ_BULK_{name}"
            with override_settings(**{name: wrong}), self.assertRaises(ImproperlyConfigured) as no:
                bulk_task._setting(name, name.rpartition("_")[2].lower())
            self.assertIn(f"{name} cannot be {wrong!r}", str(no.exception))

    def test_a_failure_group_of_the_dashboard(self):
        now = timezone.now()
        ours = self.fill(error_type="E", finished=now)
        others = self.fill(3, error_type="F", finished=now)
        url = reverse("admin:toosimpleq_taskexec_act")

        response = self.client.post(url, {"action": "requeue", "pk": ours[0].pk}, follow=True)
        later = self.fill(1, error_type="E", finished=timezone.now())
        row = self.run_bulk()

        self.assertIn(f"A task queues {MANY} calls again", messages_of(response)[0])
        self.assertEqual((row.result["changed"], self.waiting().count()), (MANY, MANY))
        for left in (*others, *later):
            self.assertIsNone(reload(left).replaced_by)


class RunTests(BulkTestCase):
    def setUp(self):
        super().setUp()
        self.worker_id = make_worker(now=timezone.now()).worker_id

    def test_five_thousand_rows_in_few_statements(self):
        states = {"requeue": States.SUCCEEDED, "cancel": States.QUEUED, "delete": States.FAILED}
        for action, state in states.items():
            self.fill(5000, state)
            with self.subTest(action=action):
                with CaptureQueriesContext(connection) as asking:
                    self.post(action, query=f"state={state}")
                with CaptureQueriesContext(connection) as acting:
                    row = self.run_bulk()

                result = {"changed": 5000, "passed_over": 0, "first_refused": None}
                self.assertEqual(row.result, result)
                self.assertEqual((row.progress_done, row.progress_total), (5000, 5000))
                self.assertLess(len(asking), 60)
                self.assertLess(len(acting), 800)
                left = {"requeue": 10_000, "cancel": 5000, "delete": 0}[action]
                self.assertEqual(TaskExec.objects.filter(task_name="mail").count(), left)
                self.assertEqual(len(self.notes()), 1)
            TaskExec.objects.all()._raw_delete(connection.alias)
            LogEntry.objects.all().delete()

    def test_rows_that_do_not_match_or_came_later_or_changed_stay(self):
        self.fill()
        other = self.fill(1, States.INTERRUPTED)[0]
        self.post("requeue", query="state=FAILED")
        later = self.fill(1)[0]
        changed = TaskExec.objects.filter(state=States.FAILED).order_by("pk")[5]
        TaskExec.objects.filter(pk=changed.pk).update(state=States.INTERRUPTED)

        row = self.run_bulk()

        self.assertEqual((row.result["changed"], row.result["passed_over"]), (MANY - 1, 0))
        self.assertEqual((row.progress_done, row.progress_total), (MANY - 1, MANY - 1))
        for left in (other, later, changed):
            self.assertIsNone(reload(left).replaced_by)

    def test_all_that_match_are_more_than_the_list_looks_through(self):
        cases = (
            ("pending", States.QUEUED, "WAITING_LISTED", "cancel"),
            ("done", States.SUCCEEDED, "SEARCHED", "delete"),
            ("", States.FAILED, "SEARCHED", "requeue"),
        )
        for tab, state, bound, action in cases:
            with self.subTest(tab), mock.patch.object(list_store, bound, MANY + 9):
                TaskExec.objects.all().delete()
                # What the list looks through first was queued last.
                self.fill(MANY, state, priority=1)
                self.fill(2 * MANY, state, priority=2)
                question = self.post(action, query=f"group={tab}", post="")
                self.assertContains(question, "+ call")

                self.post(action, query=f"group={tab}")

                row = self.run_bulk()
                self.assertEqual((row.result["changed"], row.result["passed_over"]), (3 * MANY, 0))

    def test_the_page_and_the_order_of_the_list_do_not_count(self):
        rows = self.fill()
        self.post("requeue", query="p=3&o=-1&all=&state=FAILED")
        TaskExec.objects.filter(pk__in=[row.pk for row in rows[5:]]).delete()

        row = self.run_bulk()

        self.assertEqual((row.state, row.result["changed"]), (States.SUCCEEDED, 5))
        self.assertEqual(row.args[1]["query"], "state=FAILED")

    def test_what_waits_runs_or_was_replaced_is_not_queued_again(self):
        new = self.fill(1, States.QUEUED)[0]
        self.fill(MANY, States.FAILED, replaced_by=new)
        running = self.fill(2, States.PROCESSING, worker_id=self.worker_id)
        self.fill(3, States.SUCCEEDED)
        self.post("requeue", query="attempts=all")

        row = self.run_bulk()

        self.assertEqual((row.result["changed"], row.result["passed_over"]), (3, MANY + 3))
        self.assertEqual(self.waiting().count(), 4)
        self.assertEqual(reload(running[0]).state, States.PROCESSING)

    def test_running_calls_are_asked_to_stop_and_not_deleted(self):
        self.fill(MANY, States.SLEEPING)
        running = self.fill(2, States.PROCESSING, worker_id=self.worker_id)
        self.post("cancel")
        row = self.run_bulk()
        self.assertEqual((row.result["changed"], row.result["passed_over"]), (MANY + 2, 0))
        self.assertIsNotNone(reload(running[0]).cancelled)
        one = TaskExec.objects.filter(state=States.INTERRUPTED).first()
        self.assertEqual(one.error, "cancelled in the admin")

        self.post("delete", query="task_name=mail")
        row = self.run_bulk()

        self.assertEqual((row.result["changed"], row.result["passed_over"]), (MANY, 2))
        self.assertEqual(list(TaskExec.objects.filter(task_name="mail")), running)

    def test_what_cannot_be_read_is_left_and_named(self):
        bad = self.fill()[0]
        with connection.cursor() as cursor:
            cursor.execute("UPDATE toosimpleq_taskexec SET args = 'x' WHERE id = %s", [bad.pk])
        self.post("requeue")

        row = self.run_bulk()

        self.assertEqual((row.result["changed"], row.result["passed_over"]), (MANY - 1, 1))
        self.assertIn(f"task {bad.pk} cannot be queued again", row.result["first_refused"])

    def test_a_permission_that_was_withdrawn_meanwhile_is_missed(self):
        losses = {
            "permission": lambda user: user.user_permissions.clear(),
            "staff": lambda user: User.objects.filter(pk=user.pk).update(is_staff=False),
            "active": lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
            "user": lambda user: user.delete(),
        }
        for name, lose in losses.items():
            self.fill()
            User.objects.filter(username="someone").delete()
            user = self.log_in_with("view_taskexec", "requeue_taskexec")
            self.post("requeue")
            lose(user)
            with self.subTest(lost=name):
                row = self.run_bulk()
                self.assertEqual((row.state, row.replaced_by), (States.FAILED, None))
                self.assertIn("may no longer do this", row.error)
                self.assertEqual(self.waiting().count(), 0)
        self.assertEqual(self.notes(), [])

    def test_texts_are_in_the_language_of_the_user(self):
        self.fill()
        with translation.override("de"):
            self.post("requeue")

        row = TaskExec.objects.get(task_name=NAME)
        self.assertEqual(row.args[3], "de")

    def test_a_filter_relative_to_now_counts_from_the_request(self):
        self.fill()
        self.post("requeue")
        row = TaskExec.objects.get(task_name=NAME)
        selection = Selection.read(row.args[1])

        opened = selection.open(self.admin.pk, "requeue")

        self.assertEqual(asked_at(opened.request).isoformat(), selection.asked)

    def test_a_selection_of_other_conditions_is_refused(self):
        good = Selection.now(mock.Mock(admin_site=mock.Mock()), task_name="mail").described()
        good["site"] = "admin"
        Selection.read(good)
        for wrong in (
            *({**good, "lookups": {"worker__label": "w"}}, {**good, "site": 5}),
            *({**good, "last": "9"}, {**good, "last": True}, {**good, "query": 5}),
            *({**good, "asked": "soon"}, {**good, "more": 1}, {}, None, "x", {"last": 5}),
        ):
            with self.subTest(wrong=wrong), self.assertRaises(InvalidArguments):
                Selection.read(wrong)
        self.assertNotIn("args", LOOKUPS)

    def test_an_unknown_action_or_site_changes_nothing(self):
        self.fill()
        selection = Selection("nowhere", 10**9, NOW.isoformat()).described()
        for action, given in (("drop", selection), ("requeue", selection), ("requeue", {})):
            act_on_many.queue(action, given, self.admin.pk)
            self.assertEqual(self.run_bulk().state, States.FAILED)
        self.assertEqual(self.waiting().count(), 0)
        with self.assertRaises(Cancel):
            act_on_many("requeue", selection, self.admin.pk)


class ResumeTests(BulkTestCase):
    def setUp(self):
        super().setUp()
        self.rows = self.fill(500, States.SUCCEEDED)
        self.ids = [row.pk for row in self.rows]
        selection = Selection("admin", self.ids[-1], NOW.isoformat(), "")
        self.selection = selection
        self.call = act_on_many.queue("requeue", selection.described(), self.admin.pk)
        self.row = claimed(NAME, pk=self.call.pk)

    def action(self, row=None):
        return BulkAction(row or self.row, "requeue", self.selection, self.admin.pk)

    def test_a_later_attempt_goes_on_behind_the_last_step(self):
        first = self.action()
        first.come = first.act_past_locks(self.ids[:200])
        attempt = claimed(NAME, pk=self.call.pk + 1000, root_id=self.call.pk)

        result = self.action(attempt).run()
        again = self.action(attempt).run()

        self.assertEqual((result["changed"], again), (500, result))
        self.assertEqual(self.waiting().count(), 500)
        self.assertEqual(len(self.notes()), 1)

    def test_of_two_runs_of_one_call_one_gives_up_and_changes_nothing(self):
        first, second = self.action(), self.action()
        first.act_past_locks(self.ids[:200])

        with self.assertRaises(store.Overtaken):
            second.act_past_locks(self.ids[:200])

        self.assertEqual(self.waiting().count(), 200)

    def test_it_can_be_cancelled_and_notes_what_it_did(self):
        action = self.action()
        action.come = action.act_past_locks(self.ids[:200])
        TaskExec.objects.filter(pk=self.call.pk).update(state=States.PROCESSING)
        self.call.cancel()
        self.row.interrupted = True

        with self.assertRaisesMessage(Cancel, "cancelled after 200 of 500 calls"):
            action.run()

        self.assertEqual(self.waiting().count(), 200)
        self.assertEqual(len(self.notes()), 1)

    def test_it_stops_with_its_worker_and_goes_on_with_another(self):
        self.row.interrupted = True

        with self.assertRaises(Retry) as raised:
            self.action().run()

        self.assertFalse(raised.exception.count)
        self.assertEqual((self.waiting().count(), self.notes()), (0, []))

    def test_a_permission_is_checked_again_before_each_page(self):
        user = self.log_in_with("requeue_taskexec")
        action = BulkAction(self.row, "requeue", self.selection, user.pk)
        user.user_permissions.clear()

        with mock.patch("django_toosimple_q.admin.bulk.run.PAGE", 200), self.assertRaises(Cancel):
            action.run()

        self.assertEqual((self.waiting().count(), len(self.notes())), (200, 1))

    def test_runs_of_long_ago_are_forgotten(self):
        BulkRun.objects.create(call=5, began=NOW)

        self.action()

        self.assertEqual([run.pk for run in BulkRun.objects.all()], [self.call.pk])
        self.assertIsNone(running.get())
