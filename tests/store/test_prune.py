from datetime import timedelta
from itertools import pairwise

from django.core.management import CommandError, call_command
from django.test import TestCase, override_settings
from django.utils import timezone

from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.prune import EARLIER_BATCH
from tests.support import NOW, ago, make_worker


class PruneTests(TestCase):
    def ended(self, state="SUCCEEDED", days=40, **fields):
        finished = timezone.now() - timedelta(days=days)
        return TaskExec.objects.create(task_name="t", state=state, finished=finished, **fields)

    def chain(self, length, **end):
        """Make attempts that failed long ago, and the last one; return that."""
        first = TaskExec.objects.create(task_name="t", state="FAILED", finished=timezone.now())
        rows = [first]
        for attempt in range(2, length):
            rows.append(self.ended("FAILED", days=0, attempt=attempt, root=first))
        rows.append(self.ended(**{"attempt": length, "root": first, **end}))
        for row, following in pairwise(rows):
            TaskExec.objects.filter(pk=row.pk).update(replaced_by=following)
        return rows[-1]

    def prune(self):
        return task_execs.prune(task_execs.expired({"SUCCEEDED": timedelta(1)}, timezone.now()))

    def left(self):
        return set(TaskExec.objects.values_list("pk", flat=True))

    def test_by_default_successes_are_kept_thirty_days_and_the_rest_for_ever(self):
        kept = {
            self.ended(days=29).pk,
            self.ended("FAILED").pk,
            self.ended("INTERRUPTED").pk,
            TaskExec.objects.create(task_name="t").pk,
        }
        self.ended(days=31)

        call_command("prune_tasks", verbosity=0)

        self.assertEqual(self.left(), kept)

    @override_settings(
        TOOSIMPLEQ_RETENTION={"SUCCEEDED": timedelta(0), "FAILED": timedelta(days=1)}
    )
    def test_the_setting_says_how_long_by_state(self):
        kept = {self.ended("FAILED", days=0.5).pk, self.ended("INVALID").pk}
        self.ended(days=0.001)
        self.ended("FAILED", days=2)

        call_command("prune_tasks", verbosity=0)

        self.assertEqual(self.left(), kept)

    def test_the_command_s_ages_come_before_the_setting(self):
        kept = {self.ended(days=10).pk, self.ended("FAILED", days=10, queue="b").pk}
        self.ended("FAILED", days=10, queue="a")

        call_command("prune_tasks", "--failed-min-age-days=5", "--queue=a", verbosity=0)

        self.assertEqual(self.left(), kept)

    def test_a_dry_run_deletes_nothing(self):
        self.ended()

        call_command("prune_tasks", "--dry-run", verbosity=0)

        self.assertEqual(TaskExec.objects.count(), 1)

    def test_a_schedule_whose_last_call_is_gone_stays(self):
        schedule = ScheduleExec.objects.create(name="s", last_task=self.ended())

        self.assertEqual(self.prune(), 1)

        schedule.refresh_from_db()
        self.assertIsNone(schedule.last_task_id)

    def test_the_attempts_that_led_to_a_row_go_with_it(self):
        self.chain(4)
        kept = {self.ended("FAILED").pk}

        self.assertEqual(self.prune(), 4)

        self.assertEqual(self.left(), kept)

    def test_what_was_merged_into_a_call_goes_with_it(self):
        last = self.chain(2)
        # A unique call that waited: its number is smaller than that of the attempt merged into it.
        merged = self.chain(3, state="FAILED", replaced_by=last)
        TaskExec.objects.filter(pk=merged.pk).update(finished=timezone.now())

        self.assertEqual(self.prune(), 5)

    def test_attempts_that_follow_stay(self):
        last = self.chain(3, state="FAILED")
        first = TaskExec.objects.get(pk=last.root_id)

        task_execs.delete([first.pk])

        self.assertEqual(TaskExec.objects.count(), 2)

    def test_of_very_many_attempts_the_oldest_go_first_and_none_looks_as_if_it_were_the_last(self):
        last = self.chain(2 * EARLIER_BATCH + 5)
        while self.prune():
            ends = TaskExec.objects.filter(replaced_by=None).values_list("pk", flat=True)
            self.assertIn(list(ends), ([last.pk], []))

        self.assertEqual(self.left(), set())

    def test_rows_that_a_person_deletes_take_their_attempts_along(self):
        lasts = [self.chain(3), self.chain(2 * EARLIER_BATCH + 5)]

        task_execs.delete([last.pk for last in lasts])

        self.assertEqual(self.left(), set())

    def test_bad_ages_are_refused(self):
        for age in ("-1", "soon"):
            with self.assertRaisesRegex(CommandError, "expected a number of days"):
                call_command("prune_tasks", f"--min-age-days={age}")

    def test_dead_workers_that_own_nothing_are_deleted(self):
        old, owner = (
            make_worker("old", stopped=ago(days=3)),
            make_worker("owner", rescued=ago(days=3)),
        )
        make_worker("fresh", stopped=ago(hours=1))
        make_worker("alive")
        TaskExec.objects.create(task_name="t", state="PROCESSING", worker_id=owner.worker_id)

        self.assertEqual(task_execs.prune_workers(NOW - timedelta(days=1)), 1)
        self.assertFalse(WorkerStatus.objects.filter(pk=old.worker_id).exists())
