from datetime import UTC, datetime, timedelta

from django.db import connection
from django.test import TestCase, TransactionTestCase

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs
from django_toosimple_q.store.schedule_execs import DueSchedule
from tests.support import NOW, ago, isolate_registries, make_task


class ScheduleStoreTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def schedule(self, name="s", cron="0 * * * *", **options):
        task = make_task(f"task of {name}")
        schedule_task(cron=cron, name=name, **options)(task)
        return schedules_registry[name]

    def sync(self, now=NOW):
        schedule_execs.sync(list(schedules_registry.values()), list(schedules_registry), now)

    def advance(self, schedule, last_due, occurrences):
        """Return the rows that were queued, or None when another worker was quicker."""
        steps = [DueSchedule(schedule, last_due, occurrences)]
        return schedule_execs.advance(steps, NOW).queued.get(schedule.name)

    def row(self, name="s"):
        return ScheduleExec.objects.get(name=name)

    def test_a_new_schedule_counts_from_now(self):
        self.schedule()

        self.sync()
        self.sync(NOW + timedelta(hours=1))

        self.assertEqual((self.row().last_due, self.row().state), (NOW, "ACTIVE"))

    def test_one_that_runs_on_creation_has_no_past(self):
        self.schedule(run_on_creation=True)

        self.sync()

        self.assertIsNone(self.row().last_due)

    def test_one_that_is_run_by_hand_is_no_other_s_last_task(self):
        for name in ("s", "other"):
            self.schedule(name)
        self.sync()

        call = schedule_execs.force(schedules_registry["s"], NOW)

        self.assertEqual((self.row("s").last_task, self.row("other").last_task), (call, None))

    def test_one_that_is_gone_from_the_code_is_invalid_until_it_returns(self):
        self.schedule()
        self.sync()
        kept = schedules_registry.pop("s")
        self.sync()
        self.assertEqual(self.row().state, "INVALID")

        schedules_registry["s"] = kept
        self.sync()

        self.assertEqual(self.row().state, "ACTIVE")

    def test_two_whose_names_differ_in_case_have_a_row_each(self):
        for name in ("Report", "report"):
            self.schedule(name)

        self.sync()

        names = ScheduleExec.objects.filter(state="ACTIVE").values_list("name", flat=True)
        self.assertEqual(sorted(names), ["Report", "report"])

    def test_advancing_moves_the_row_and_queues_each_occurrence(self):
        schedule = self.schedule(args=[1], datetime_kwarg="at")
        self.sync(ago(hours=2))
        occurrences = [ago(hours=1), NOW]

        rows = self.advance(schedule, ago(hours=2), occurrences)

        self.assertEqual([row.kwargs["at"] for row in rows], occurrences)
        self.assertEqual(
            next((row.args, row.due, row.state) for row in rows), ([1], ago(hours=1), "QUEUED")
        )
        self.assertEqual((self.row().last_due, self.row().last_task_id), (NOW, rows[-1].pk))

    def test_only_one_of_two_workers_advances(self):
        schedule = self.schedule()
        self.sync(ago(hours=2))

        first = self.advance(schedule, ago(hours=2), [ago(hours=1)])
        second = self.advance(schedule, ago(hours=2), [ago(hours=1), NOW])

        self.assertEqual((len(first), second), (1, None))
        self.assertEqual(TaskExec.objects.count(), 1)

    def test_a_schedule_without_a_past_is_swapped_as_well(self):
        schedule = self.schedule(run_on_creation=True)
        self.sync()

        self.assertEqual(len(self.advance(schedule, None, [NOW])), 1)
        self.assertIsNone(self.advance(schedule, None, [NOW]))

    def test_forcing_a_run_leaves_the_next_one_alone(self):
        schedule = self.schedule(cron="manual", datetime_kwarg="at")
        self.sync()

        row = schedule_execs.force(schedule, ago(minutes=1))

        self.assertEqual(
            (row.state, self.row().last_task_id, self.row().last_due), ("QUEUED", row.pk, NOW)
        )
        self.assertEqual(row.kwargs["at"], ago(minutes=1))
        self.assertEqual(datetime(2026, 5, 1, 12, tzinfo=UTC), NOW)


class AdvanceTests(TransactionTestCase):
    def test_one_that_dies_before_its_calls_are_written_has_not_moved_the_schedule(self):
        isolate_registries(self)
        schedule_task(cron="0 * * * *", name="s")(make_task())
        schedule = schedules_registry["s"]
        schedule_execs.sync([schedule], ["s"], ago(hours=2))

        with self.assertRaises(ZeroDivisionError), connection.execute_wrapper(die_at_insert):
            schedule_execs.advance([DueSchedule(schedule, ago(hours=2), [ago(hours=1), NOW])], NOW)

        self.assertEqual(ScheduleExec.objects.get().last_due, ago(hours=2))
        self.assertEqual(TaskExec.objects.count(), 0)


def die_at_insert(execute, sql, *args):
    if sql.startswith("INSERT INTO"):
        raise ZeroDivisionError
    return execute(sql, *args)
