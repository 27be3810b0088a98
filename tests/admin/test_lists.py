"""Lists stay cheap: few queries, few columns, no count of the table."""

from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_toosimple_q.admin import lists
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from tests.admin.pages import AdminTestCase, messages_of
from tests.support import NOW, States, make_task, make_worker

# Session, user, count, rows.
QUERIES = 4
HEAVY = ("args", "kwargs", '"result"', "`result`", "stdout", "stderr", "exit_log")


class QueryTests(AdminTestCase):
    def fill(self, count):
        for number in range(count):
            worker = make_worker(f"w{number}")
            row = TaskExec.objects.create(task_name="t", worker_id=worker.worker_id, args=["a"])
            ScheduleExec.objects.create(name=f"s{number}", last_task=row)

    def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(self):
        self.fill(20)

        for model in (TaskExec, ScheduleExec, WorkerStatus):
            with self.assertNumQueries(QUERIES):
                self.list_page(model)

    def test_payloads_and_outputs_are_not_read(self):
        self.fill(1)

        for model in (TaskExec, ScheduleExec, WorkerStatus):
            with CaptureQueriesContext(connection) as queries:
                self.list_page(model)
            for query in queries.captured_queries:
                selected = query["sql"].split(" FROM ")[0]
                for column in HEAVY:
                    self.assertNotIn(column, selected)

    def test_filters_read_no_rows(self):
        make_task("a")
        make_task("b", queue="slow")
        self.fill(3)

        with self.assertNumQueries(QUERIES):
            response = self.list_page(TaskExec)

        self.assertContains(response, "?task_name=a")
        self.assertContains(response, "?queue=slow")
        self.assertNotContains(response, "?task_name=t")

    def test_rows_are_counted_up_to_a_bound_only(self):
        self.fill(3)

        with CaptureQueriesContext(connection) as queries:
            self.list_page(TaskExec)

        counts = [query["sql"] for query in queries.captured_queries if "COUNT(" in query["sql"]]
        self.assertEqual(len(counts), 1)
        self.assertIn(f"LIMIT {lists.ROWS_COUNTED + 1}", counts[0])
        self.assertNotIn("ORDER BY", counts[0])

    def test_newest_first(self):
        self.fill(3)

        rows = self.list_page(TaskExec).context["cl"].result_list

        self.assertEqual([row.pk for row in rows], sorted((row.pk for row in rows), reverse=True))


@mock.patch.object(lists, "ROWS_COUNTED", 5)
class BoundTests(AdminTestCase):
    def fill(self, count):
        make_task("t")
        return [TaskExec.objects.create(task_name="t") for _ in range(count)]

    def test_beyond_the_bound_the_list_says_that_there_is_more(self):
        self.fill(7)

        response = self.list_page(TaskExec)

        self.assertContains(response, "There are more rows than these.")
        self.assertEqual(response.context["cl"].result_count, 5)

    def test_below_the_bound_it_does_not(self):
        self.fill(5)

        self.assertNotContains(self.list_page(TaskExec), "There are more rows")

    def test_selecting_all_refuses_rows_that_the_list_never_counted(self):
        rows = self.fill(7)

        response = self.act("action_requeue", rows[0], select_across="1")

        self.assertEqual(TaskExec.objects.count(), 7)
        self.assertIn("Narrow the list with a filter first", messages_of(response)[0])

    def test_selecting_all_works_below_the_bound(self):
        rows = self.fill(4)

        self.act("action_requeue", rows[0], select_across="1")

        self.assertEqual(TaskExec.objects.count(), 8)


class FilterTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        make_task("mail", queue="mails")
        make_task("report")
        TaskExec.objects.create(task_name="mail", state=States.FAILED)
        TaskExec.objects.create(task_name="report")
        TaskExec.objects.create(task_name="gone", queue="old")

    def shown(self, **query):
        return sorted(row.task_name for row in self.rows(**query))

    def rows(self, **query):
        return self.list_page(TaskExec, **query).context["cl"].result_list

    def test_by_state(self):
        self.assertEqual(self.shown(state__exact="FAILED"), ["mail"])

    def test_by_task(self):
        self.assertEqual(self.shown(task_name="report"), ["report"])

    def test_by_queue(self):
        self.assertEqual(self.shown(queue="mails"), ["mail"])

    def test_by_a_task_that_the_code_has_lost(self):
        self.assertEqual(self.shown(task_name="gone"), ["gone"])
        self.assertEqual(self.shown(queue="old"), ["gone"])

    def test_by_part_of_a_name(self):
        self.assertEqual(self.shown(q="epo"), ["report"])


class GroupTests(AdminTestCase):
    def test_each_group_shows_its_rows(self):
        ended = {"started": NOW, "finished": NOW}
        rows = {
            "failed": TaskExec.objects.create(task_name="f", state="FAILED", **ended),
            "dirty": TaskExec.objects.create(task_name="d", state="INTERRUPTED", **ended),
            "active": TaskExec.objects.create(task_name="a", state="PROCESSING", started=NOW),
            "pending": TaskExec.objects.create(task_name="p", state="QUEUED"),
            "future": TaskExec.objects.create(task_name="s", state="SLEEPING"),
        }
        TaskExec.objects.create(task_name="r", state="FAILED", replaced_by=rows["pending"], **ended)
        TaskExec.objects.create(task_name="c", state="INTERRUPTED", finished=NOW)

        for group, row in rows.items():
            with self.subTest(group=group):
                found = self.list_page(TaskExec, group=group).context["cl"].queryset
                self.assertEqual([one.pk for one in found], [row.pk])
