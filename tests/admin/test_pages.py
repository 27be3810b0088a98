"""What the pages show, and what they never show."""

from datetime import UTC, datetime, timedelta
from unittest import mock

from django.test import SimpleTestCase, override_settings
from django.utils import timezone

from django_toosimple_q import payload, stand_ins
from django_toosimple_q.admin import markup
from django_toosimple_q.admin.schedule_notes import occurrences
from django_toosimple_q.admin.worker_statuses import conditions
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule
from tests.admin.pages import ESCAPED, MARKUP, AdminTestCase, row_url
from tests.support import NOW, States, make_task, make_worker


class TaskPageTests(AdminTestCase):
    def test_it_shows_the_call_as_python_writes_it(self):
        make_task("mail")
        row = TaskExec.objects.create(task_name="mail", args=[1, "a"], kwargs={"urgent": True})

        response = self.row_page(row)

        self.assertContains(response, "mail(1, &#x27;a&#x27;, urgent=True)")

    def test_a_long_call_takes_a_line_for_each_argument(self):
        row = TaskExec.objects.create(task_name="mail", args=["a" * 60, "b" * 60])

        response = self.row_page(row)

        a, b = (f"&#x27;{letter * 60}&#x27;" for letter in "ab")
        self.assertContains(response, f"mail(\n    {a},\n    {b},\n)")

    def test_it_shows_result_error_and_output(self):
        row = TaskExec.objects.create(
            task_name="t",
            state=States.SUCCEEDED,
            result={"sent": 3},
            error="Traceback: boom",
            stdout="to stdout",
            stderr="to stderr",
        )

        response = self.row_page(row)

        self.assertContains(response, "{&#x27;sent&#x27;: 3}")
        self.assertContains(response, '<div class="tsq-text tsq-traceback">Traceback: boom</div>')
        for text in ("to stdout", "to stderr"):
            self.assertContains(response, f'<pre class="tsq-text">{text}</pre>')

    def test_a_result_of_none_is_told_from_no_result(self):
        done = TaskExec.objects.create(task_name="t", state=States.SUCCEEDED)
        waiting = TaskExec.objects.create(task_name="t")

        self.assertContains(self.row_page(done), "None</pre>")
        self.assertNotContains(self.row_page(waiting), "None</pre>")

    def test_it_links_to_the_rows_before_and_after(self):
        first = TaskExec.objects.create(task_name="t", state=States.FAILED)
        third = TaskExec.objects.create(task_name="t", root=first, attempt=3)
        second = TaskExec.objects.create(
            task_name="t", state=States.FAILED, root=first, attempt=2, replaced_by=third
        )
        first.replaced_by = second
        first.save()

        response = self.row_page(second)

        for row in (first, third):
            self.assertContains(response, f'<a href="{row_url(row)}">attempt {row.attempt}</a>')
        self.assertContains(self.row_page(third), f'<a href="{row_url(second)}">')

    def test_the_list_shows_class_and_text_of_an_error(self):
        TaskExec.objects.create(
            task_name="t",
            state=States.FAILED,
            error="Traceback …",
            error_type="builtins.ValueError",
            error_message=MARKUP,
        )

        response = self.list_page(TaskExec)

        self.assertContains(response, f">ValueError: {ESCAPED}</span>")
        self.assertContains(response, 'href="?error_type=builtins.ValueError"')
        self.assertNotContains(response, "Traceback …")

    def test_the_list_shows_the_rows_of_one_error_type(self):
        for path in ("builtins.ValueError", "builtins.KeyError"):
            TaskExec.objects.create(task_name=path[9:], state=States.FAILED, error_type=path)

        response = self.list_page(TaskExec, error_type="builtins.KeyError")

        self.assertContains(response, ">KeyError</span>")
        self.assertNotContains(response, ">ValueError</span>")

    def test_the_list_tells_how_often_a_task_was_and_will_be_tried(self):
        TaskExec.objects.create(task_name="t", attempt=2, retries=1)
        TaskExec.objects.create(task_name="t", attempt=4, retries=-1)

        response = self.list_page(TaskExec)

        self.assertContains(response, "attempt 2 of 3")
        self.assertContains(response, "attempt 4, without end")

    def test_the_page_of_an_ended_call_speaks_of_no_next_attempt(self):
        row = TaskExec.objects.create(task_name="t", retries=1, retry_delay=5)
        self.assertContains(self.row_page(row), "next attempt 5 s after a failure")

        TaskExec.objects.filter(pk=row.pk).update(state="INTERRUPTED")

        self.assertNotContains(self.row_page(row), "next attempt")

    def test_the_list_tells_how_long_a_task_took(self):
        times = {"started": NOW, "finished": NOW + timedelta(seconds=1.25)}
        TaskExec.objects.create(task_name="t", state=States.SUCCEEDED, **times)

        self.assertContains(self.list_page(TaskExec), "took 1.25 s")

    def test_progress_is_shown_while_it_runs_and_on_its_page_afterwards(self):
        row = TaskExec.objects.create(task_name="t")
        fields = {"progress_done": 3, "progress_total": 12, "progress_message": "mail to Ann"}
        TaskExec.objects.filter(pk=row.pk).update(state="PROCESSING", **fields)

        for response in (self.list_page(TaskExec), self.row_page(row)):
            self.assertContains(response, '<progress class="tsq-progress" value="0.250"')
            self.assertContains(response, "3 of 12: mail to Ann")

        TaskExec.objects.filter(pk=row.pk).update(state="FAILED", progress_total=None)

        self.assertNotContains(self.list_page(TaskExec), "mail to Ann")
        self.assertContains(self.row_page(row), "3: mail to Ann")
        self.assertNotContains(self.row_page(row), "<progress")

    def test_a_call_without_progress_shows_none(self):
        self.assertNotContains(self.row_page(TaskExec.objects.create(task_name="t")), "rogress")

    def test_a_first_attempt_that_was_pruned_does_not_break_it(self):
        row = TaskExec.objects.create(task_name="t", root_id=4711, attempt=2)

        self.assertContains(self.row_page(row), "1 earlier attempt was deleted.")

    def test_a_worker_s_row_that_is_gone_breaks_neither_page_nor_list(self):
        row = TaskExec.objects.create(task_name="t", worker_id=4711)

        self.assertEqual(self.row_page(row).status_code, 200)
        self.assertContains(self.list_page(TaskExec), row_url(row))

    def test_a_task_that_the_code_has_lost_still_opens(self):
        row = TaskExec.objects.create(task_name="gone", args=[1])

        self.assertContains(self.row_page(row), "not defined in the code")
        self.assertContains(self.list_page(TaskExec), "gone")

    def test_a_state_of_a_newer_release_still_opens(self):
        row = TaskExec.objects.create(task_name="t", state="PAUSED")

        self.assertContains(self.row_page(row), "PAUSED")
        self.assertContains(self.list_page(TaskExec), "PAUSED")

    def test_markup_in_any_field_is_shown_as_text(self):
        make_worker(label=MARKUP, host=MARKUP)
        row = TaskExec.objects.create(
            task_name=MARKUP,
            args=[MARKUP],
            kwargs={MARKUP: MARKUP},
            queue=MARKUP,
            state=States.SUCCEEDED,
            result=MARKUP,
            result_preview=MARKUP,
            error=MARKUP,
            stdout=MARKUP,
            stderr=MARKUP,
            progress_done=1,
            progress_message=MARKUP,
            worker=WorkerStatus.objects.get(),
        )

        for response in (self.row_page(row), self.list_page(TaskExec)):
            self.assertContains(response, ESCAPED)
            self.assertNotContains(response, MARKUP)

    def test_markup_in_messages_is_shown_as_text(self):
        row = TaskExec.objects.create(task_name=MARKUP, args=["a"])
        TaskExec.objects.filter(pk=row.pk).update(task_name=f"{MARKUP}!")

        response = self.act("action_requeue", row)

        self.assertContains(response, "signature does not match")
        self.assertNotContains(response, MARKUP)

    def test_markup_in_a_state_and_in_the_history_is_shown_as_text(self):
        row = TaskExec.objects.create(task_name=MARKUP, state=MARKUP)
        self.act("action_requeue", row)

        for page in (self.row_page(row), self.client.get(row_url(row, "history"))):
            self.assertContains(page, ESCAPED)
            self.assertNotContains(page, MARKUP)

    def test_a_row_of_an_unknown_id_leads_back(self):
        response = self.row_page(TaskExec(pk=4711, task_name="t"))

        self.assertEqual(response.status_code, 302)


class UnreadablePayloadTests(AdminTestCase):
    def forge(self, **fields):
        """Make a row whose arguments were signed for another task."""
        row = TaskExec.objects.create(task_name="t", args=["secret"], result="r", **fields)
        TaskExec.objects.filter(pk=row.pk).update(task_name="other")
        return row

    def test_it_says_so_instead_of_showing_the_value(self):
        response = self.row_page(self.forge(state=States.SUCCEEDED))

        for field in ("args", "kwargs", "result"):
            self.assertContains(response, f"unreadable: {field}: signature does not match")
        self.assertNotContains(response, "secret")

    def test_it_is_never_unpickled(self):
        row = self.forge()

        with (
            mock.patch.object(payload, "dbsafe_decode") as decode,
            mock.patch.object(stand_ins, "load") as load,
        ):
            self.row_page(row)
            self.list_page(TaskExec)

        decode.assert_not_called()
        load.assert_not_called()

    def test_the_list_opens_no_payload_at_all(self):
        TaskExec.objects.create(task_name="t", args=["a"], result="r")

        with mock.patch.object(payload, "unseal") as unseal:
            self.list_page(TaskExec)

        unseal.assert_not_called()


class SchedulePageTests(AdminTestCase):
    def schedule(self, cron="30 2 * * *", **options):
        task = make_task("report").task
        schedules_registry.register(Schedule(task=task, name="nightly", cron=cron, **options))
        return ScheduleExec.objects.create(name="nightly", last_due=timezone.now())

    def test_it_shows_cron_zone_and_call(self):
        row = self.schedule(timezone="Asia/Tokyo", args=["all"], datetime_kwarg="at")

        response = self.row_page(row)

        self.assertContains(response, '<code class="tsq-cron">30 2 * * *</code>')
        self.assertContains(response, "Asia/Tokyo")
        self.assertContains(response, "at=&lt;the occurrence&gt;")

    def test_it_shows_the_next_ten_occurrences_with_offsets(self):
        row = self.schedule(timezone="Asia/Tokyo")

        response = self.row_page(row)

        self.assertContains(response, "02:30:00 +09:00 JST", count=10)

    def test_the_zone_is_the_project_s_by_default(self):
        self.assertContains(self.row_page(self.schedule()), "Europe/Paris")

    def test_occurrences_follow_the_zone_through_its_changes(self):
        schedule = self.schedule("0 12 * * *").schedule

        found = occurrences(schedule, datetime(2026, 10, 23, 12, tzinfo=UTC))

        self.assertEqual(next(found), datetime(2026, 10, 24, 10, tzinfo=UTC))
        self.assertEqual(next(found), datetime(2026, 10, 25, 11, tzinfo=UTC))

    def test_a_manual_schedule_has_no_occurrences(self):
        row = self.schedule(cron="manual")

        self.assertContains(self.row_page(row), "none, it only runs by hand")
        self.assertEqual(self.list_page(ScheduleExec).status_code, 200)

    def test_the_last_task_is_linked(self):
        task_exec = TaskExec.objects.create(task_name="report")
        row = self.schedule()
        row.last_task = task_exec
        row.save()

        for response in (self.row_page(row), self.list_page(ScheduleExec)):
            self.assertContains(response, f'<a href="{row_url(task_exec)}">#{task_exec.pk}</a>')

    def test_a_schedule_that_the_code_has_lost_still_opens(self):
        row = ScheduleExec.objects.create(name=f"gone {MARKUP}", state="INVALID")

        response = self.row_page(row)

        self.assertContains(response, "not defined in the code")
        self.assertNotContains(response, MARKUP)
        self.assertContains(self.list_page(ScheduleExec), ESCAPED)

    @override_settings(USE_TZ=False)
    def test_it_opens_without_time_zones(self):
        row = self.schedule()

        self.assertContains(self.row_page(row), "02:30:00", count=10)
        self.assertEqual(self.list_page(ScheduleExec).status_code, 200)


class WorkerPageTests(AdminTestCase):
    def test_it_shows_how_a_worker_ended(self):
        make_worker(
            "w", stopped=NOW, exit_code=99, exit_log=f"Traceback {MARKUP}", host="web1", pid=4321
        )

        response = self.row_page(WorkerStatus.objects.get())

        for text in ("Crashed", "99 Crashed", "web1", "4321", f"Traceback {ESCAPED}"):
            self.assertContains(response, text)
        self.assertNotContains(response, MARKUP)

    def test_it_shows_queues(self):
        make_worker("a", included_queues=["mail", MARKUP])
        make_worker("b", excluded_queues=["slow"])
        make_worker("c")

        response = self.list_page(WorkerStatus)

        self.assertContains(response, f"mail, {ESCAPED}")
        self.assertContains(response, "all except slow")
        self.assertContains(response, '<td class="field-queues">all</td>')

    def test_it_links_to_the_worker_s_tasks(self):
        worker = make_worker()
        make_task("t")
        TaskExec.objects.create(task_name="mine", worker_id=worker.worker_id)
        TaskExec.objects.create(task_name="theirs")

        page = self.row_page(WorkerStatus.objects.get())
        rows = self.list_page(TaskExec, worker__id__exact=worker.worker_id)

        self.assertContains(page, f"?worker__id__exact={worker.worker_id}")
        self.assertContains(rows, "mine")
        self.assertNotContains(rows, "theirs")

    def test_the_filter_agrees_with_the_state_of_each_row(self):
        now = timezone.now()
        make_worker("online", now=now)
        make_worker("rescued", now=now, rescued=now)
        make_worker("silent", now=now - timedelta(hours=2))
        make_worker("patient", now=now - timedelta(hours=2), timeout=timedelta(hours=3))
        for code in (0, 77, 99, 5, None):
            make_worker(f"ended {code}", stopped=now, exit_code=code)

        for state, condition in conditions(now).items():
            found = set(WorkerStatus.objects.filter(condition).values_list("label", flat=True))
            expected = {row.label for row in WorkerStatus.objects.all() if row.state == state}
            self.assertEqual(found, expected, state)

    def test_the_filter_is_offered_and_works(self):
        make_worker("alive", now=timezone.now())
        make_worker("ended", stopped=NOW, exit_code=0)

        self.assertContains(self.list_page(WorkerStatus), 'href="?state=STOPPED"')
        response = self.list_page(WorkerStatus, state="STOPPED")

        self.assertContains(response, "ended")
        self.assertNotContains(response, "alive")


class MarkupTests(SimpleTestCase):
    def test_lengths_of_time_are_short(self):
        lengths = {
            timedelta(0): "0 s",
            timedelta(milliseconds=240): "0.24 s",
            timedelta(seconds=9.5): "9.5 s",
            timedelta(seconds=59): "59 s",
            timedelta(seconds=61): "1 min 1 s",
            timedelta(hours=2): "2 h",
            timedelta(hours=2, seconds=5): "2 h",
            timedelta(days=3, hours=4, minutes=5): "3 d 4 h",
        }

        for delta, text in lengths.items():
            self.assertEqual(markup.span(delta), text)

    def test_moments_are_relative_with_the_exact_one_in_the_title(self):
        shown = markup.moment(NOW - timedelta(minutes=5), NOW)

        self.assertIn(">5 min ago</time>", shown)
        self.assertIn('title="2026-05-01 13:55:00 +02:00 CEST"', shown)

    def test_moments_ahead_and_moments_now(self):
        self.assertIn(">in 2 h<", markup.moment(NOW + timedelta(hours=2), NOW))
        self.assertIn(">now<", markup.moment(NOW, NOW))

    def test_naive_moments_have_no_offset(self):
        naive = datetime(2026, 5, 1, 12)

        self.assertIn('title="2026-05-01 12:00:00"', markup.moment(naive, naive))

    def test_a_preview_is_cut_at_255_characters(self):
        shown = markup.preview("x" * 1000)

        self.assertIn(f">{'x' * 254}…<", shown)

    def test_arguments_that_are_no_list_are_shown_all_the_same(self):
        self.assertIn("t(args=5, kwargs={})", markup.call("t", 5, {}))
