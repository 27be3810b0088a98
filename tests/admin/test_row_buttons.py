"""The buttons of a call: who sees which, what each does, and what is noted."""

import re
from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from django_toosimple_q.models import TaskExec
from tests.admin.pages import MARKUP, AdminTestCase, list_url, messages_of, row_url
from tests.support import NOW, States, make_task, reload

ACT = "/admin/toosimpleq/taskexec/act/"
CHANGE = "/admin/toosimpleq/taskexec/reschedule/"
PERMISSIONS = {
    "cancel": "cancel_taskexec",
    "run_now": "reschedule_taskexec",
    "again": "requeue_taskexec",
}


def permission_of(codename):
    return Permission.objects.get(codename=codename)


class ButtonTestCase(AdminTestCase):
    def setUp(self):
        super().setUp()
        make_task("t")
        self.now = timezone.now()
        self.waiting = self.call(States.QUEUED)
        self.sleeping = self.call(States.SLEEPING, due=self.now + timedelta(hours=1))
        self.running = self.call(States.PROCESSING, started=self.now)
        self.failed = self.call(States.FAILED, started=self.now, finished=self.now)
        self.done = self.call(States.SUCCEEDED, started=self.now, finished=self.now)

    def call(self, state, **fields):
        values = {"task_name": "t", "state": state, "queue": "default", "args": [1]}
        return TaskExec.objects.create(**values | fields)

    def press(self, action, row, client=None, **fields):
        form = {"press": f"{action}:{row.pk}", "list": "1", **fields}
        return (client or self.client).post(ACT, form, follow=True)

    def offered(self, response):
        """Return what is offered for each row, by its id."""
        found = {}
        text = response.content.decode()
        for action, pk in re.findall(r'name="press" value="(\w+):(\d+)"', text):
            found.setdefault(int(pk), set()).add(action)
        for pk in re.findall(r'href="[^"]*/reschedule/\?pk=(\d+)"', text):
            found.setdefault(int(pk), set()).add("change")
        return found


class OfferedTests(ButtonTestCase):
    def test_each_row_has_those_that_fit_its_state(self):
        asked = self.call(States.PROCESSING, started=NOW, cancelled=NOW)
        replaced = self.call(States.FAILED, finished=NOW, replaced_by=self.done)

        offered = self.offered(self.list_page(TaskExec, attempts="all"))

        self.assertEqual(
            offered,
            {
                self.waiting.pk: {"cancel", "change"},
                self.sleeping.pk: {"cancel", "change", "run_now"},
                self.running.pk: {"cancel"},
                self.failed.pk: {"again"},
                self.done.pk: {"again"},
            },
        )
        self.assertNotIn(asked.pk, offered)
        self.assertNotIn(replaced.pk, offered)

    def test_who_may_only_look_sees_none(self):
        self.log_in_with("view_taskexec")

        for response in (self.list_page(TaskExec), self.row_page(self.sleeping)):
            self.assertEqual(self.offered(response), {})
            self.assertNotContains(response, 'class="tsq-press"')
            self.assertNotContains(response, "column-buttons")

    def test_each_permission_gives_its_own(self):
        user = self.log_in_with("view_taskexec")
        expected = {
            "cancel_taskexec": {"cancel"},
            "reschedule_taskexec": {"run_now", "change"},
            "requeue_taskexec": {"again"},
        }

        for permission, actions in expected.items():
            user.user_permissions.set([permission_of("view_taskexec"), permission_of(permission)])
            offered = self.offered(self.list_page(TaskExec))
            self.assertEqual(set().union(*offered.values()), actions)

    def test_the_row_s_page_has_them_too(self):
        offered = self.offered(self.row_page(self.sleeping))

        self.assertEqual(offered, {self.sleeping.pk: {"cancel", "change", "run_now"}})

    def test_they_belong_to_a_form_that_posts_outside_of_the_list_s_form(self):
        text = self.list_page(TaskExec).content.decode()

        form = re.search(r'<form id="tsq-press" method="post" action="([^"]*)">(.*?)</form>', text)
        self.assertEqual(form[1], ACT)
        self.assertIn("csrfmiddlewaretoken", form[2])
        self.assertGreater(
            text.index('id="tsq-press"'), text.index("</form>", text.index("result_list"))
        )
        self.assertNotIn('<button class="tsq-press" name', text)

    def test_what_a_screen_reader_says_names_the_call(self):
        row = self.call(States.QUEUED, task_name=f"{MARKUP}\u202e")

        response = self.list_page(TaskExec)

        self.assertContains(response, f'aria-label="Cancel: #{row.pk} &lt;script&gt;')
        self.assertNotContains(response, MARKUP)


class PressedTests(ButtonTestCase):
    def test_cancel(self):
        response = self.press("cancel", self.waiting)

        self.assertEqual(reload(self.waiting).state, States.INTERRUPTED)
        self.assertIn("is cancelled", messages_of(response)[0])
        self.assertEqual(LogEntry.objects.get().change_message, "Cancelled.")

    def test_run_now(self):
        response = self.press("run_now", self.sleeping)

        row = reload(self.sleeping)
        self.assertEqual(row.state, States.QUEUED)
        self.assertLess(row.due, self.sleeping.due)
        self.assertEqual(messages_of(response), [f"Task #{row.pk} is due now."])
        entry = LogEntry.objects.get()
        self.assertEqual((entry.object_id, entry.change_message), (str(row.pk), "Due now."))

    def test_run_now_comes_too_late(self):
        response = self.press("run_now", self.running)

        self.assertEqual(messages_of(response), ["It is not due later any more."])
        self.assertFalse(LogEntry.objects.exists())

    def test_queue_again_does_what_the_action_does(self):
        response = self.press("again", self.failed)

        new = TaskExec.objects.latest("pk")
        self.assertEqual((new.args, new.state, new.root), ([1], States.QUEUED, self.failed))
        self.assertEqual(reload(self.failed).replaced_by, new)
        self.assertContains(response, f'1 task queued: <a href="{row_url(new)}">')
        self.assertEqual(LogEntry.objects.get().change_message, f"Queued again as task {new.pk}.")

    def test_a_call_that_is_gone(self):
        for action in PERMISSIONS:
            response = self.press(action, TaskExec(pk=10**6))
            self.assertEqual(len(messages_of(response)), 1)
        self.assertFalse(LogEntry.objects.exists())

    def test_a_note_of_changed_values_is_in_the_language_of_who_reads_it(self):
        self.client.post(CHANGE, {"pk": self.waiting.pk, "priority": "7"})

        with translation.override("de"):
            self.assertIn("Priorität", LogEntry.objects.get().get_change_message())

    def test_it_leads_back_to_the_list_as_it_was(self):
        response = self.press("cancel", self.waiting, query="?group=pending&p=1")

        self.assertEqual(
            response.redirect_chain, [(f"{list_url(TaskExec)}?group=pending&p=1", 302)]
        )

    def test_it_leads_nowhere_else(self):
        for query in ("//evil.example", "https://evil.example/?", "evil", "/x"):
            response = self.press("cancel", self.waiting, query=query)
            self.assertEqual(response.redirect_chain, [(list_url(TaskExec), 302)])

    def test_from_a_row_s_page_it_leads_back_there(self):
        form = {"press": f"run_now:{self.sleeping.pk}", "row": "1"}

        response = self.client.post(ACT, form)

        self.assertRedirects(response, row_url(self.sleeping))


class RefusedTests(ButtonTestCase):
    def assert_nothing_happened(self):
        self.assertEqual(TaskExec.objects.count(), 5)
        self.assertEqual(reload(self.waiting).state, States.QUEUED)
        self.assertEqual(reload(self.sleeping).state, States.SLEEPING)
        self.assertFalse(LogEntry.objects.exists())

    def test_without_the_permission(self):
        user = self.log_in_with("view_taskexec")
        for action, permission in PERMISSIONS.items():
            others = {"view_taskexec", *PERMISSIONS.values()} - {permission}
            user.user_permissions.set(Permission.objects.filter(codename__in=others))

            for row in (self.waiting, self.sleeping, self.failed):
                self.assertEqual(self.press(action, row).status_code, 403)

        self.assert_nothing_happened()

    def test_without_a_token(self):
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.admin)

        for url in (ACT, CHANGE):
            self.assertEqual(
                client.post(url, {"press": f"cancel:{self.waiting.pk}"}).status_code, 403
            )
        self.assert_nothing_happened()

    def test_by_get(self):
        query = {"press": f"cancel:{self.waiting.pk}"}

        self.assertEqual(self.client.get(ACT, query).status_code, 405)
        self.client.get(CHANGE, {"pk": self.waiting.pk, "priority": "5"})
        self.assert_nothing_happened()

    def test_what_no_button_sends(self):
        for press in ("nonsense:1", ":1", "cancel", "cancel:", "dismiss:x", "again:-1", "\0:\0"):
            response = self.client.post(ACT, {"press": press, "list": "1"})
            self.assertIn(response.status_code, (302, 403), press)
        for press in ("cancel:" + "9" * 99, "again:½", "run_now:1e3"):
            self.client.post(ACT, {"press": press, "list": "1"})
        self.assert_nothing_happened()

    def test_who_is_not_logged_in(self):
        self.press("cancel", self.waiting, Client())

        self.assert_nothing_happened()


class ChangeTests(ButtonTestCase):
    def change(self, *rows, **fields):
        return self.client.post(CHANGE, {"pk": [row.pk for row in rows], **fields}, follow=True)

    def as_it_is(self, row, **fields):
        due = timezone.localtime(row.due).strftime("%Y-%m-%dT%H:%M:%S")
        return {"priority": row.priority, "queue": row.queue, "due": due, **fields}

    def test_the_page_shows_how_one_call_stands(self):
        response = self.client.get(CHANGE, {"pk": self.sleeping.pk})

        self.assertContains(response, 'name="priority" value="0"')
        self.assertContains(response, 'name="queue" value="default"')
        self.assertContains(response, f'value="{self.as_it_is(self.sleeping)["due"]}"')

    def test_only_what_was_changed_is_written_and_noted(self):
        fields = self.as_it_is(self.sleeping, priority="7", queue="slow")

        response = self.change(self.sleeping, **fields)

        row = reload(self.sleeping)
        self.assertEqual((row.priority, row.queue, row.due), (7, "slow", self.sleeping.due))
        self.assertEqual(messages_of(response), ["1 task changed."])
        entry = LogEntry.objects.get()
        self.assertEqual(entry.get_change_message(), "Changed Priority and Queue.")
        self.assertEqual(entry.change_message, '[{"changed": {"fields": ["Priority", "Queue"]}}]')

    def test_a_due_date(self):
        due = self.now.replace(microsecond=0) + timedelta(days=3)
        local = timezone.localtime(due).strftime("%Y-%m-%dT%H:%M:%S")

        self.change(self.waiting, due=local)

        row = reload(self.waiting)
        self.assertEqual((row.state, row.due), (States.SLEEPING, due))

    def test_many_at_once(self):
        response = self.act("action_reschedule", self.waiting, self.sleeping, self.done)
        self.assertContains(response, f"#{self.sleeping.pk} t")

        response = self.change(self.waiting, self.sleeping, self.done, priority="3")

        self.assertEqual(messages_of(response), ["2 tasks changed."])
        self.assertEqual([reload(row).priority for row in (self.waiting, self.sleeping)], [3, 3])
        self.assertEqual(reload(self.done).priority, 0)
        self.assertEqual(LogEntry.objects.count(), 2)

    def test_bad_values_are_refused(self):
        bad = [
            *({"priority": value} for value in ("x", "1.5", str(2**31), "9" * 400)),
            *({"queue": value} for value in ("x" * 256, "a\x00b")),
            *({"due": value} for value in ("x", "2026-13-01T00:00", "0001-01-01T00:00")),
        ]

        for fields in bad:
            with self.subTest(fields):
                response = self.change(self.waiting, **fields)
                self.assertContains(response, "errorlist")
        row = reload(self.waiting)
        self.assertEqual((row.priority, row.queue, row.due), (0, "default", self.waiting.due))
        self.assertFalse(LogEntry.objects.exists())

    def test_a_call_that_waits_no_more_is_left_alone(self):
        for rows in ((self.done,), (self.running,), ()):
            response = self.change(*rows, priority="9")
            self.assertEqual(messages_of(response), ["None of them waits any more."])
        self.assertEqual(reload(self.done).priority, 0)

    def test_an_address_that_is_forged(self):
        for pk in ("x", "-1", "9" * 99, "\0", "½"):
            response = self.client.get(CHANGE, {"pk": pk}, follow=True)
            self.assertEqual(messages_of(response), ["None of them waits any more."])

    def test_too_many_at_once(self):
        rows = [self.call(States.QUEUED) for _ in range(201)]

        response = self.change(*rows, priority="9")

        self.assertEqual(messages_of(response), ["Select 200 calls at most."])
        self.assertFalse(TaskExec.objects.exclude(priority=0).exists())

    def test_a_name_is_shown_as_text(self):
        row = self.call(States.QUEUED, task_name=f"{MARKUP}\x1b\u202e")

        response = self.client.get(CHANGE, {"pk": row.pk})

        self.assertNotContains(response, MARKUP)
        self.assertContains(response, "&lt;/script&gt;\\x1b\\u202e")

    def test_without_the_permission(self):
        self.log_in_with("view_taskexec", "cancel_taskexec", "requeue_taskexec")

        self.assertEqual(self.client.get(CHANGE, {"pk": self.waiting.pk}).status_code, 403)
        self.assertEqual(self.change(self.waiting, priority="9").status_code, 403)
        self.assertEqual(reload(self.waiting).priority, 0)

    def test_the_address_is_named(self):
        self.assertEqual(reverse("admin:toosimpleq_taskexec_reschedule"), CHANGE)
