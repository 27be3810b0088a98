"""Lists stay cheap: few queries, few columns, no count of the table."""

from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_toosimple_q.admin import lists
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.schedule import Schedule
from tests.admin.pages import AdminTestCase, messages_of
from tests.store.test_unreadable import BROKEN, write
from tests.support import NOW, States, make_task, make_worker

# Session, user, count, rows.
QUERIES = 4
# Those, and: how far it looks, the tabs, the workers of the rows, the choices of two filters.
QUERIES_OF_CALLS = 9
HEAVY = ("args", "kwargs", '"result"', "`result`", "stdout", "stderr", "exit_log")


class QueryTests(AdminTestCase):
    def fill(self, count):
        for number in range(count):
            worker = make_worker(f"w{number}")
            row = TaskExec.objects.create(task_name="t", worker_id=worker.worker_id, args=["a"])
            ScheduleExec.objects.create(name=f"s{number}", last_task=row)

    def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(self):
        self.fill(20)

        for model in (ScheduleExec, WorkerStatus):
            with self.assertNumQueries(QUERIES):
                self.list_page(model)
        with self.assertNumQueries(QUERIES_OF_CALLS):
            self.list_page(TaskExec)

    def test_payloads_and_outputs_are_not_read(self):
        self.fill(1)

        for model in (TaskExec, ScheduleExec, WorkerStatus):
            with CaptureQueriesContext(connection) as queries:
                self.list_page(model)
            for query in queries.captured_queries:
                selected = query["sql"].split(" FROM ")[0]
                for column in HEAVY:
                    self.assertNotIn(column, selected)

    def test_a_claimed_call_that_was_cancelled_is_shown_as_asked_to_stop(self):
        row = TaskExec.objects.create(task_name="t", state=States.PROCESSING, started=NOW)
        self.assertNotContains(self.list_page(TaskExec), "asked to stop")

        row.cancel()

        self.assertContains(self.list_page(TaskExec), "asked to stop")
        TaskExec.objects.update(state=States.SUCCEEDED, finished=NOW)
        self.assertNotContains(self.list_page(TaskExec), "asked to stop")

    def test_filters_read_no_rows(self):
        make_task("a")
        make_task("b", queue="slow")
        self.fill(3)

        with self.assertNumQueries(QUERIES_OF_CALLS):
            response = self.list_page(TaskExec)

        self.assertContains(response, "?task_name=a")
        self.assertContains(response, "?queue=slow")
        self.assertNotContains(response, "?task_name=t")

    def test_rows_are_counted_up_to_a_bound_only(self):
        self.fill(3)

        with CaptureQueriesContext(connection) as queries:
            self.list_page(TaskExec)

        counts = [
            query["sql"]
            for query in queries.captured_queries
            if "COUNT(" in query["sql"] and "AS part" not in query["sql"]
        ]
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

        self.assertContains(response, "There are more rows than this list shows.")
        self.assertEqual(response.context["cl"].result_count, 5)

    def test_below_the_bound_it_does_not(self):
        self.fill(5)

        self.assertNotContains(self.list_page(TaskExec), "There are more rows")

    def test_selecting_all_refuses_rows_that_the_list_never_counted(self):
        make_task("t")
        for number in range(7):
            schedules_registry.register(
                Schedule(task=make_task(f"t{number}").task, name=f"s{number}", cron="manual")
            )
            row = ScheduleExec.objects.create(name=f"s{number}")

        response = self.act("action_force_run", row, select_across="1")

        self.assertEqual(TaskExec.objects.count(), 0)
        self.assertIn("Use a filter to select fewer", messages_of(response)[0])

    def test_an_action_that_a_task_does_asks_first(self):
        rows = self.fill(7)

        response = self.act("action_requeue", rows[0], select_across="1")

        self.assertEqual(TaskExec.objects.count(), 7)
        self.assertContains(response, "calls again?")

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


class UnreadableTests(AdminTestCase):
    """Rows that somebody has written past Django."""

    def test_the_list_and_the_page_of_such_a_row_open(self):
        for name, (column, value) in BROKEN.items():
            with self.subTest(name):
                broken, good = (make_task(name[:20] + one).queue(1) for one in "ab")
                write(broken, column, value)

                self.assertContains(self.list_page(TaskExec), good.task_name)
                self.assertEqual(self.row_page(broken).status_code, 200)
