"""No statement of the queue reads the whole table, however many rows have ended or wait."""

import re
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock, skipUnless

from django.contrib.auth.models import User
from django.db import connection
from django.test import TestCase

from django_toosimple_q.databases.base import TABLE
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.store import lists, queues, task_execs, workers
from django_toosimple_q.store.lookup import attempts_around
from django_toosimple_q.store.schedule_runs import last_runs
from tests.admin.pages import list_url
from tests.support import NOW, ago, claim, isolate_registries, make_task, make_worker

DOUBLINGS = 13
BATCHES = 64
SECOND = timedelta(seconds=1)
COPIED = [field.column for field in TaskExec._meta.concrete_fields if not field.primary_key]


class PlanTests(TestCase):
    """A table of some 25,000 rows: enough for a planner to care."""

    @classmethod
    def setUpTestData(cls):
        columns = ", ".join(COPIED)
        rows = TaskExec.objects
        old = {"task_name": "t", "queue": "default", "created": ago(days=9)}
        rows.create(state="SUCCEEDED", finished=ago(days=1), worker_id=10**6, **old)
        rows.create(state="QUEUED", due=ago(days=9), **old)
        rows.create(state="SLEEPING", due=NOW + timedelta(days=9), **old)
        with connection.cursor() as cursor:
            for _ in range(DOUBLINGS):
                cursor.execute(f"INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE}")
        # A batch ends at one moment, and not all of them do.
        newest = rows.latest("pk").pk
        for number in range(BATCHES):
            some = rows.filter(pk__gt=newest * number // BATCHES)
            some.filter(state="SUCCEEDED").update(finished=ago(days=1) + number * SECOND)
            some.filter(state="SLEEPING").update(due=NOW + timedelta(days=9) + number * SECOND)

    def setUp(self):
        isolate_registries(self)
        self.task = make_task()
        self.me = make_worker()
        if connection.vendor == "mysql":
            # It would commit here. What it counts by itself, it counts some seconds later.
            other = connection.copy()
            with other.cursor() as cursor:
                cursor.execute(f"ANALYZE TABLE {TABLE}")
                self.assertEqual(cursor.fetchall()[-1][-1], "OK")
            other.close()
            return
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")

    @contextmanager
    def assert_short(self, *, sorted_by_index=False, most=3_000):
        """Check the plan of every statement of the block that reads or writes the task table."""
        statements = []

        def keep(execute, sql, params, many, context):
            statements.append((sql, params))
            return execute(sql, params, many, context)

        before = rows_read()
        with connection.execute_wrapper(keep):
            yield
        self.assertLess(rows_read() - before, most)
        plans = {sql: self.plan(sql, params) for sql, params in statements if self.planned(sql)}
        self.assertTrue(plans)
        for sql, plan in plans.items():
            if connection.vendor == "sqlite" and re.search(NEWEST_IDS, sql):
                continue  # its plans do not tell a walk by id, which ends at the limit, from a scan
            self.assertNotRegex(plan, WHOLE_TABLE[connection.vendor], sql)
            if sorted_by_index and "priority DESC" in sql:
                self.assertRegex(plan, FROM_THE_INDEX[connection.vendor], sql)

    def planned(self, sql):
        return TABLE in sql and re.match("SELECT|UPDATE|DELETE|WITH", sql)

    def plan(self, sql, params):
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        with connection.cursor() as cursor:
            cursor.execute(f"{explain} {sql}", params)
            names = [column[0] for column in cursor.description]
            lines = [
                " ".join(f"{name}={value}" for name, value in zip(names, row, strict=True))
                for row in cursor.fetchall()
            ]
        return "\n".join(lines)

    def test_the_check_finds_a_read_of_the_whole_table(self):
        with self.assertRaises(AssertionError), self.assert_short():
            list(TaskExec.objects.filter(stdout="x").values_list("pk"))

    @skipUnless(connection.vendor == "postgresql", "PostgreSQL's settings")
    def test_dead_rows_do_not_pile_up_where_a_look_begins(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT reloptions FROM pg_class WHERE relname = %s", [TABLE])
            (options,) = cursor.fetchone()

        self.assertIn("autovacuum_vacuum_scale_factor=0.02", options)

    def test_looking(self):
        with self.assert_short():
            task_execs.backlog(NOW)

    def test_claiming(self):
        with self.assert_short(sorted_by_index=True):
            self.assertEqual(len(claim(self.me, limit=50)), 50)

    def test_claiming_past_names_that_others_know(self):
        with self.assert_short(sorted_by_index=True):
            claim(self.me, limit=50, skipped_names=["other"])

    def test_claiming_from_a_concurrency_key(self):
        make_task("few", max_running=3).queue_many(range(9))

        with self.assert_short(sorted_by_index=True):
            self.assertEqual(len(claim(self.me, limit=50)), 50)

    def test_waking(self):
        self.task.queue_many([(1,)] * 50, due=NOW)

        with self.assert_short():
            self.assertEqual(task_execs.wake(NOW), 50)

    def test_finishing_and_handing_back(self):
        done = [(row, Outcome("SUCCEEDED", NOW, NOW)) for row in claim(self.me, limit=50)]
        back = claim(self.me, limit=50)

        with self.assert_short():
            self.assertEqual(len(task_execs.finish(done[:1], self.me.worker_id, NOW)), 1)
            self.assertEqual(len(task_execs.finish(done[1:], self.me.worker_id, NOW)), 49)
            task_execs.release(back, self.me.worker_id, NOW)

    def test_rescuing(self):
        claim(self.me, limit=20)
        WorkerStatus.objects.filter(pk=self.me.worker_id).update(rescued=NOW)

        with self.assert_short():
            self.assertEqual(len(task_execs.rescue(NOW)), 20)
            task_execs.orphans()
            task_execs.owned(self.me.worker_id)
            workers.alive()

    def test_pruning(self):
        with self.assert_short():
            task_execs.prune(task_execs.expired({"SUCCEEDED": timedelta(days=3)}, NOW))

    def test_reviving(self):
        with self.assert_short():
            task_execs.requeue_known(["t"], "v")

    def test_counting_what_expired(self):
        with self.assert_short():
            task_execs.count_expired(task_execs.expired({"FAILED": timedelta(days=3)}, NOW))

    def test_a_unique_call_that_waits_already(self):
        unique = make_task("u", unique=True)
        unique.queue(1)

        with self.assert_short():
            unique.queue(1)

    def test_cancelling(self):
        row = self.task.queue()

        with self.assert_short():
            task_execs.cancel(row.pk, "no", NOW)

    def test_the_last_runs_of_a_schedule(self):
        first = list(TaskExec.objects.order_by("pk")[:20])
        TaskExec.objects.filter(pk__in=[one.pk for one in first[:10]]).update(replaced_by=first[10])
        TaskExec.objects.filter(pk=first[11].pk).update(root=first[0], attempt=2)
        row = ScheduleExec(name="s", recent=" ".join(str(one.pk) for one in first))

        with self.assert_short():
            runs = last_runs(row)

        self.assertEqual([run.first.pk for run in runs], [one.pk for one in first[:10]])
        self.assertEqual(runs[0].last.pk, first[11].pk)

    @mock.patch.object(queues, "WAITING_COUNTED", 500)
    def test_counting_what_waits(self):
        with self.assert_short(most=25_000):  # counted to a bound
            self.assertEqual(queues.waiting("default"), 500)
            queues.running("default")

    @mock.patch.object(lists, "SEARCHED", 400)
    @mock.patch.object(lists, "BAD_SEARCHED", 400)
    @mock.patch.object(lists, "WAITING_LISTED", 400)
    def test_the_admin_s_list(self):
        self.client.force_login(User.objects.create_superuser("admin"))
        row = TaskExec.objects.order_by("pk").first()
        found = [
            *({"group": group} for group in ("", *lists.PARTS)),
            *({"group": group, "q": "no such text"} for group in ("", *lists.PARTS)),
            *({"group": group, "task_name": "rare"} for group in ("", "done", "pending", "future")),
            *({"error_type": "rare"}, {"worker__id__exact": 10**6}, {"attempts": "all"}),
            *({"within": "30d"}, {"group": "done", "within": "24h"}, {"until": NOW.isoformat()}),
            *({"q": f"#{row.pk}"}, {"q": "#1"}, {"state__exact": "QUEUED"}),
            {"group": "pending", "queue": "default", "q": "no such text"},
        ]

        for query in found:
            with self.subTest(query), self.assert_short(most=12_000):
                self.assertEqual(self.client.get(list_url(TaskExec), query).status_code, 200)

    def test_the_attempts_of_a_call(self):
        first = TaskExec.objects.create(task_name="t", state="FAILED", finished=NOW)
        for number in range(2, 30):
            last = TaskExec.objects.create(task_name="t", root=first, attempt=number)

        with self.assert_short():
            found, number = attempts_around(last, 20)

        self.assertEqual((len(found), number), (20, 29))

    def test_rescheduling(self):
        row = TaskExec.objects.filter(state="SLEEPING").first()

        with self.assert_short():
            self.assertTrue(task_execs.run_now(row.pk, NOW))
            change = task_execs.Change(priority=5, queue="q", due=NOW + timedelta(days=1))
            self.assertTrue(task_execs.reschedule(row.pk, change, NOW))


def rows_read():
    """Return how many rows the server has read for us, where it tells: plans say less there."""
    if connection.vendor != "mysql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _, value in cursor.fetchall())


WHOLE_TABLE = {
    "postgresql": rf"Seq Scan on {TABLE}",
    "sqlite": rf"SCAN ({TABLE}|t|e|p)( |$)(?!USING)",
    "mysql": rf"table=({TABLE}|t|e|p) .*type=ALL",
}
NEWEST_IDS = rf'FROM "{TABLE}" ORDER BY 1 DESC LIMIT 1 OFFSET \d+$'
# Nothing sorts the rows that wait before some of them are taken.
FROM_THE_INDEX = {
    "postgresql": r"LockRows .*\n.*-> +Index Scan using toosimpleq_claim",
    "sqlite": r"INDEX toosimpleq_claim \(queue=\? AND concurrency_key=\?\)"
    r"(?!\n.*B-TREE FOR ORDER BY)",
    "mysql": r"key=toosimpleq_claim (?!.*filesort)",
}
