"""Acting on rows: who may, what happens, and what is noted."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_toosimple_q import queues
from django_toosimple_q.models import QueueStatus, ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule
from django_toosimple_q.store import queues as store_queues
from tests.admin.pages import AdminTestCase, list_url, messages_of, row_url
from tests.support import NOW, States, make_task, make_worker, reload


class RequeueTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        make_task("mail")
        self.row = TaskExec.objects.create(
            task_name="mail", args=["a"], state=States.FAILED, started=NOW, finished=NOW
        )

    def test_it_queues_the_same_call_as_a_new_row(self):
        self.act("action_requeue", self.row)

        new = TaskExec.objects.latest("pk")
        self.assertNotEqual(new.pk, self.row.pk)
        self.assertEqual((new.args, new.state), (["a"], States.QUEUED))
        self.assertEqual(reload(self.row).state, States.FAILED)

    def test_what_a_person_has_seen_to_is_no_longer_up(self):
        held = TaskExec.objects.create(
            task_name="mail", state=States.INTERRUPTED, started=NOW, finished=NOW
        )

        self.act("action_requeue", self.row, held)

        for group in ("failed", "dirty"):
            self.assertContains(self.list_page(TaskExec, group=group), "0 Task Executions")
        new = TaskExec.objects.get(root=held)
        self.assertEqual((reload(held).replaced_by, new.attempt), (new, 2))

    def test_it_is_noted_in_the_row_s_history(self):
        self.act("action_requeue", self.row)

        entry = LogEntry.objects.get()
        new = TaskExec.objects.latest("pk")
        self.assertEqual((entry.action_flag, entry.object_id), (CHANGE, str(self.row.pk)))
        self.assertEqual(entry.user, self.admin)
        self.assertEqual(entry.change_message, f"Queued again as task {new.pk}.")

    def test_it_says_which_tasks_it_queued(self):
        response = self.act("action_requeue", self.row)

        new = TaskExec.objects.latest("pk")
        self.assertContains(response, f'1 task queued: <a href="{row_url(new)}">#{new.pk}</a>')

    def test_it_works_on_many_rows(self):
        others = [TaskExec.objects.create(task_name="mail", args=[n]) for n in range(7)]

        response = self.act("action_requeue", self.row, *others)

        self.assertEqual(TaskExec.objects.count(), 16)
        self.assertEqual(LogEntry.objects.count(), 8)
        self.assertIn("8 tasks queued", messages_of(response)[0])

    def test_a_payload_that_cannot_be_read_is_refused_and_the_others_are_queued(self):
        forged = TaskExec.objects.create(task_name="mail", args=["b"], state=States.FAILED)
        TaskExec.objects.filter(pk=forged.pk).update(task_name="other")

        response = self.act("action_requeue", self.row, forged)

        self.assertEqual(TaskExec.objects.count(), 3)
        self.assertEqual(LogEntry.objects.get().object_id, str(self.row.pk))
        self.assertIn("signature does not match", messages_of(response)[1])

    def test_a_user_with_the_permission_may(self):
        self.log_in_with("view_taskexec", "requeue_taskexec")

        self.act("action_requeue", self.row)

        self.assertEqual(TaskExec.objects.count(), 2)

    def test_a_user_without_the_permission_does_not_see_it(self):
        self.log_in_with("view_taskexec")

        self.assertNotContains(self.list_page(TaskExec), "action_requeue")
        self.assertNotContains(self.row_page(self.row), "again:")

    def test_a_user_without_the_permission_is_refused(self):
        user = self.log_in_with("view_taskexec", "delete_taskexec")

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            response = self.act("action_requeue", self.row)

        self.assertEqual(response.status_code, 403)
        self.assertEqual(TaskExec.objects.count(), 1)
        self.assertFalse(LogEntry.objects.exists())
        self.assertIn(f"model=taskexec action=action_requeue user={user.pk}", logs.output[0])

    def test_a_user_without_any_action_is_refused(self):
        self.log_in_with("view_taskexec")

        with self.assertLogs("toosimpleq", "WARNING"):
            response = self.act("action_requeue", self.row)

        self.assertEqual(response.status_code, 403)
        self.assertEqual(TaskExec.objects.count(), 1)

    def test_nothing_happens_on_get(self):
        self.list_page(TaskExec, action="action_requeue", _selected_action=self.row.pk, index="0")

        self.assertEqual(TaskExec.objects.count(), 1)

    def test_the_row_s_page_offers_it_as_a_form_that_posts(self):
        response = self.row_page(self.row)

        self.assertContains(response, 'id="tsq-press" method="post" action="/admin/toosimpleq/')
        self.assertContains(response, f'form="tsq-press" name="press" value="again:{self.row.pk}"')

    def test_it_works_for_a_task_that_the_code_has_lost(self):
        row = TaskExec.objects.create(task_name="gone", state=States.INVALID)

        self.act("action_requeue", row)

        self.assertEqual(TaskExec.objects.latest("pk").task_name, "gone")


class ForceRunTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        task = make_task("report").task
        schedules_registry.register(Schedule(task=task, name="nightly", cron="manual", args=[7]))
        self.row = ScheduleExec.objects.create(name="nightly")

    def test_it_queues_the_schedule_s_call(self):
        self.act("action_force_run", self.row)

        queued = TaskExec.objects.get()
        self.assertEqual((queued.task_name, queued.args), ("report", [7]))
        self.assertEqual(reload_schedule(self.row).last_task, queued)

    def test_when_it_runs_next_stays_as_it_was(self):
        self.act("action_force_run", self.row)

        self.assertIsNone(reload_schedule(self.row).last_due)

    def test_it_is_noted_in_the_row_s_history(self):
        self.act("action_force_run", self.row)

        entry = LogEntry.objects.get()
        self.assertEqual((entry.action_flag, entry.object_id), (CHANGE, str(self.row.pk)))
        self.assertEqual(entry.change_message, f"Run by hand as task {TaskExec.objects.get().pk}.")

    def test_a_schedule_that_the_code_has_lost_is_refused(self):
        gone = ScheduleExec.objects.create(name="gone")

        response = self.act("action_force_run", gone)

        self.assertFalse(TaskExec.objects.exists())
        self.assertFalse(LogEntry.objects.exists())
        self.assertIn("The code does not define this schedule", messages_of(response)[0])

    def test_a_user_without_the_permission_does_not_see_it(self):
        self.log_in_with("view_scheduleexec")

        self.assertNotContains(self.list_page(ScheduleExec), "action_force_run")
        self.assertNotContains(self.row_page(self.row), "action_force_run")

    def test_a_user_without_the_permission_is_refused(self):
        self.log_in_with("view_scheduleexec")

        with self.assertLogs("toosimpleq", "WARNING"):
            response = self.act("action_force_run", self.row)

        self.assertEqual(response.status_code, 403)
        self.assertFalse(TaskExec.objects.exists())


class ReadOnlyTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        make_worker()
        self.rows = [
            TaskExec.objects.create(task_name="t"),
            ScheduleExec.objects.create(name="s"),
            WorkerStatus.objects.get(),
        ]

    def test_nothing_can_be_added(self):
        for row in self.rows:
            response = self.client.post(f"{list_url(type(row))}add/", {})

            self.assertEqual(response.status_code, 403)

    def test_nothing_can_be_changed(self):
        for row in self.rows:
            response = self.client.post(row_url(row), {"state": "SUCCEEDED", "label": "x"})

            self.assertEqual(response.status_code, 403)

    def test_deleting_needs_django_s_permission(self):
        self.log_in_with("view_taskexec", "requeue_taskexec")

        self.assertNotContains(self.list_page(TaskExec), "delete_selected")
        self.assertEqual(self.client.post(row_url(self.rows[0], "delete")).status_code, 403)

    def test_with_it_rows_can_be_deleted(self):
        self.log_in_with("view_taskexec", "delete_taskexec")

        url = row_url(self.rows[0], "delete")
        response = self.client.post(f"{url}?_changelist_filters=tab%3Ddone", {"post": "yes"})

        self.assertFalse(TaskExec.objects.exists())
        self.assertEqual(response["Location"], f"{list_url(TaskExec)}?tab=done")

    def test_an_attempt_takes_those_before_it_along(self):
        last = self.rows[0]
        first = TaskExec.objects.create(task_name="t", state=States.FAILED, replaced_by=last)
        other = TaskExec.objects.create(task_name="t", state=States.FAILED)

        self.act("delete_selected", last, post="yes")

        self.assertEqual(list(TaskExec.objects.all()), [other], first)

    def test_many_rows_can_be_deleted_after_a_question(self):
        question = self.act("delete_selected", self.rows[0])
        self.act("delete_selected", self.rows[0], post="yes")

        self.assertContains(question, "Are you sure")
        self.assertFalse(TaskExec.objects.exists())

    def test_without_a_permission_nothing_is_shown(self):
        self.log_in_with()

        for row in self.rows:
            self.assertEqual(self.list_page(type(row)).status_code, 403)
            self.assertEqual(self.row_page(row).status_code, 403)

    def test_the_permission_to_change_shows_rows_as_django_s_own_admin_does(self):
        self.log_in_with("change_taskexec")

        self.assertEqual(self.row_page(self.rows[0]).status_code, 200)


def reload_schedule(row):
    return ScheduleExec.objects.get(pk=row.pk)


class PauseTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        make_task("send", queue="mail").queue()
        store_queues.ensure(["mail", "<b>bold</b>"])
        self.row = QueueStatus.objects.get(name="mail")

    def test_a_queue_is_paused_and_resumed_and_both_are_noted(self):
        response = self.act("action_pause", self.row)

        self.assertEqual(messages_of(response), ["Queue mail is paused."])
        self.assertEqual(list(queues.paused()), ["mail"])

        response = self.act("action_resume", self.row)

        self.assertIn("Queue mail is no longer paused.", messages_of(response))
        self.assertEqual(queues.paused(), {})
        notes = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
        self.assertEqual(notes, ["Paused.", "Resumed."])

    def test_without_the_permission_nothing_changes(self):
        self.log_in_with("view_queuestatus")

        with self.assertLogs("toosimpleq", "WARNING"):
            self.assertEqual(self.act("action_pause", self.row).status_code, 403)

        self.assertEqual(queues.paused(), {})

    def test_the_list_shows_what_waits_and_which_tasks_it_holds(self):
        response = self.list_page(QueueStatus)

        url = f"{list_url(TaskExec)}?state__exact=QUEUED&amp;queue=mail"
        self.assertContains(response, f'<a href="{url}">1</a>')
        self.assertContains(response, "send")
        self.assertContains(response, "&lt;b&gt;bold&lt;/b&gt;")
        self.assertNotContains(response, "<b>bold</b>")
        self.assertEqual(self.client.get(url.replace("&amp;", "&")).status_code, 200)

    def test_a_queue_that_waits_is_listed_though_no_worker_ever_ran_and_said_so_in_red(self):
        QueueStatus.objects.all().delete()

        response = self.list_page(QueueStatus)

        self.assertContains(response, ">mail</a>")
        self.assertContains(
            response, '<li class="error">Nobody takes queue &quot;mail&quot;: 1 waits'
        )
        self.assertContains(response, "Start <code>manage.py worker --queue mail</code>.")
        self.assertContains(response, '<span class="tsq-warning">no living worker</span>')

    def test_a_queue_that_a_living_worker_takes_is_quiet(self):
        make_worker(label="<i>w</i>", now=timezone.now())

        response = self.list_page(QueueStatus)

        self.assertContains(response, "&lt;i&gt;w&lt;/i&gt;")
        self.assertNotContains(response, "no living worker")
        self.assertNotContains(response, "Nobody takes")

    def test_a_forged_name_of_a_queue_is_shown_as_text(self):
        TaskExec.objects.update(queue="<b>bold</b>")

        response = self.list_page(QueueStatus)

        self.assertContains(response, "takes queue &quot;&lt;b&gt;bold&lt;/b&gt;&quot;")
        self.assertNotContains(response, "<b>bold</b>")

    def test_the_list_takes_as_many_queries_however_many_queues_there_are(self):
        self.list_page(QueueStatus)
        with CaptureQueriesContext(connection) as few:
            self.list_page(QueueStatus)
        store_queues.ensure([f"q{number}" for number in range(20)])
        with CaptureQueriesContext(connection) as many:
            self.list_page(QueueStatus)

        self.assertEqual(len(many), len(few))
        self.assertLess(len(many), 25)

    def test_a_queue_s_page_opens(self):
        for row in QueueStatus.objects.all():
            self.assertContains(self.row_page(row), "Active")
