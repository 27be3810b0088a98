"""Rows written past Django that cannot be read: they are set aside, and the others go on."""

from datetime import timedelta
from unittest import skipUnless

from django.db import connection
from django.test import TestCase

from django_toosimple_q import signals
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs, workers
from tests.support import NOW, claim, isolate_registries, make_task, make_worker, reload, states

# What a person may write into a column by hand, as SQL, on each database.
BROKEN = {
    "postgresql": {
        "due of the year 10000": ("due", "'10000-01-01 04:59:59.999999+00'"),
        "due for ever": ("due", "'infinity'"),
        "due since ever": ("due", "'-infinity'"),
        "due BC": ("due", "'0044-03-15 12:00:00+00 BC'"),
        "expires never": ("expires", "'infinity'"),
        "created BC": ("created", "'0044-03-15 12:00:00+00 BC'"),
    },
    "sqlite": {
        "due of words": ("due", "'garbage'"),
        "due of nothing": ("due", "''"),
        "due on no day": ("due", "'2026-02-31 00:00:00'"),
        "due at no hour": ("due", "'2026-02-01 24:00:00'"),
        "due as a number": ("due", "12345"),
        "due as bytes": ("due", "x'ff00fe'"),
        "expires of words": ("expires", "'later'"),
        "retries of words": ("retries", "'many'"),
        "priority of words": ("priority", "'high'"),
        "timeout of words": ("timeout", "'long'"),
        "crashes of words": ("crash_count", "'often'"),
        "task as bytes": ("task_name", "x'ff00fe'"),
        "arguments as bytes": ("args", "x'00ff'"),
    },
    "mysql": {
        "due on day zero": ("due", "'0000-00-00 00:00:00'"),
        "due in month zero": ("due", "'2026-00-15 00:00:00'"),
        "created on day zero": ("created", "'0000-00-00 00:00:00'"),
    },
}[connection.vendor]


def write(row, column, value):
    """Write a value by hand, where needed as a session that checks nothing does."""
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET @mode = @@sql_mode, sql_mode = ''")
        cursor.execute(f"UPDATE toosimpleq_taskexec SET {column} = {value} WHERE id = {row.pk}")
        if connection.vendor == "mysql":
            cursor.execute("SET sql_mode = @mode")


class UnreadableTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()
        self.task = make_task()

    def each(self):
        """Yield a row of three for each way to break one, and the column that is broken."""
        for name, (column, value) in BROKEN.items():
            with self.subTest(name):
                TaskExec.objects.all().delete()
                rows = self.task.queue_many([(1,), (2,), (3,)])
                yield rows, column, value

    def test_a_claim_sets_it_aside_and_takes_the_others(self):
        for rows, column, value in self.each():
            write(rows[1], column, value)

            claimed = claim(self.me)

            self.assertEqual({one.pk for one in claimed}, {rows[0].pk, rows[2].pk})
            broken = reload(rows[1])
            self.assertEqual((broken.state, broken.unique_key), ("INVALID", None))
            self.assertIn("cannot be read", broken.error)
            self.assertIsNotNone(broken.finished)

    def test_so_does_a_claim_that_stores_outcomes_as_well(self):
        for rows, column, value in self.each():
            [first] = claim(self.me, limit=1)
            write(rows[1], column, value)
            finished = [(first, Outcome("SUCCEEDED", NOW, NOW))]

            kept, claimed = task_execs.finish_and_claim(
                finished, self.me, task_execs.backlog(NOW).buckets, 10, NOW
            )

            self.assertEqual((kept, [one.pk for one in claimed]), ({first.pk}, [rows[2].pk]))
            self.assertEqual(states(), ["SUCCEEDED", "INVALID", "PROCESSING"])

    def test_a_rescue_sets_it_aside_and_replaces_the_others(self):
        for rows, column, value in self.each():
            dead = make_worker(f"dead {column} {value}"[:200], incarnation="d")
            claim(dead)
            write(rows[1], column, value)
            workers.stop(dead.worker_id, "d", 0, "", NOW)

            rescued = task_execs.rescue(NOW)

            self.assertEqual({one.task_id for one in rescued}, {rows[0].pk, rows[2].pk})
            self.assertEqual(states()[:3], ["INTERRUPTED", "INVALID", "INTERRUPTED"])

    def test_so_does_the_recovery_after_a_crash(self):
        for rows, column, value in self.each():
            dead = make_worker(f"dead {column} {value}"[:200], incarnation="d")
            claim(dead)
            write(rows[1], column, value)

            recovery = task_execs.recover(dead, [rows[0].pk], [], "exit code 1", NOW)

            self.assertEqual([one.task_id for one in recovery.rescued], [rows[0].pk])
            self.assertEqual(recovery.released, 1)
            self.assertEqual(states()[:3], ["INTERRUPTED", "INVALID", "QUEUED"])

    def test_a_worker_reads_its_strays_without_it(self):
        for rows, column, value in self.each():
            claim(self.me)
            write(rows[1], column, value)

            owned = task_execs.read(task_execs.owned(self.me.worker_id))

            self.assertEqual({one.pk for one in owned}, {rows[0].pk, rows[2].pk})
            self.assertEqual(reload(rows[1]).state, "INVALID")

    def test_others_read_it_as_well_as_they_can(self):
        for rows, column, value in self.each():
            write(rows[1], column, value)

            found = [
                list(TaskExec.objects.order_by("pk")),
                list(TaskExec.objects.only("due", "expires", "retries", "task_name")),
                list(TaskExec.objects.values_list("due", "created")),
                [task_execs.find(row.pk) for row in rows],
                [task_execs.attempts(str(row.pk))[0] for row in rows],
            ]

            self.assertEqual([len(one) for one in found], [3] * 5)

    def test_one_that_sleeps_holds_up_no_other(self):
        later = NOW + timedelta(hours=1)
        for name, (column, value) in BROKEN.items():
            with self.subTest(name):
                TaskExec.objects.all().delete()
                broken, good = self.task.queue(due=later), self.task.queue(due=later)
                write(broken, column, value)

                task_execs.backlog(NOW)
                task_execs.wake(later)
                claimed = claim(self.me, now=later)

                self.assertEqual([one.pk for one in claimed], [good.pk])
                self.assertIsNone(task_execs.backlog(later).buckets or None)

    def test_one_that_alone_sleeps_leaves_a_backlog_that_can_be_read(self):
        for name, (column, value) in BROKEN.items():
            with self.subTest(name):
                TaskExec.objects.all().delete()
                write(self.task.queue(due=NOW + timedelta(hours=1)), column, value)

                self.assertEqual(task_execs.backlog(NOW).buckets, [])

    def test_it_is_published(self):
        seen = []
        receiver = signals.row_set_aside.connect(lambda pk, **kwargs: seen.append(pk), weak=False)
        self.addCleanup(signals.row_set_aside.disconnect, receiver)
        row = self.task.queue()
        write(row, *next(iter(BROKEN.values())))

        with self.assertLogs("toosimpleq", "ERROR") as logged:
            claim(self.me)

        self.assertEqual(seen, [row.pk])
        self.assertIn(f"row set aside: task={row.pk} state=INVALID", logged.output[0])

    def test_a_row_that_cannot_be_replaced_is_set_aside_by_the_rescue(self):
        rows = self.task.queue_many([(1,), (2,), (3,)])
        dead = make_worker("dead", incarnation="d")
        claim(dead)
        # The next attempt would be one that no column holds.
        write(rows[1], "attempt", 2**63 - 1 if connection.vendor == "sqlite" else 2**31 - 1)
        workers.stop(dead.worker_id, "d", 0, "", NOW)

        rescued = task_execs.rescue(NOW)

        self.assertEqual({one.task_id for one in rescued}, {rows[0].pk, rows[2].pk})
        self.assertEqual(reload(rows[1]).state, "INVALID")
        self.assertIn("cannot be replaced", reload(rows[1]).error)


@skipUnless(connection.vendor == "postgresql", "SQLite and MariaDB have no such dates")
class ScheduleRowTests(TestCase):
    def test_a_schedule_s_row_is_read_whatever_its_date(self):
        ScheduleExec.objects.create(name="s")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE toosimpleq_scheduleexec SET last_due = 'infinity'")

        self.assertEqual(ScheduleExec.objects.get().last_due.year, 9999)


class OutcomeTests(TestCase):
    """An outcome that cannot be stored is the failure of its task alone."""

    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()
        make_task(retries=3).queue_many([(1,), (2,), (3,)])
        self.claimed = claim(self.me)

    def finish(self, outcome):
        good = Outcome("SUCCEEDED", NOW, NOW)
        first, second, third = self.claimed
        return task_execs.finish(
            [(first, good), (second, outcome), (third, good)], self.me.worker_id, NOW
        )

    def test_whatever_raises_while_it_is_written(self):
        for delay in ("soon", float("nan"), object(), 10**400, None):
            with self.subTest(delay=delay):
                TaskExec.objects.update(state="PROCESSING", finished=None, error=None)
                again = NextAttempt(delay_seconds=delay, retries=2, retry_delay=0)

                kept = self.finish(Outcome("FAILED", NOW, NOW, error="mine", next_attempt=again))

                self.assertEqual(len(kept), 3)
                self.assertEqual(states(), ["SUCCEEDED", "FAILED", "SUCCEEDED"])
                self.assertIn("cannot be stored", reload(self.claimed[1]).error)
                self.assertIn("mine", reload(self.claimed[1]).error)

    def test_the_neighbours_are_claimed_past_it(self):
        make_task().queue()
        again = NextAttempt(delay_seconds="soon", retries=2, retry_delay=0)
        finished = [
            (self.claimed[0], Outcome("FAILED", NOW, NOW, next_attempt=again)),
            (self.claimed[1], Outcome("SUCCEEDED", NOW, NOW)),
        ]

        kept, claimed = task_execs.finish_and_claim(
            finished, self.me, task_execs.backlog(NOW).buckets, 10, NOW
        )

        self.assertEqual((len(kept), len(claimed)), (2, 1))
