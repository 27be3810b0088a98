from datetime import timedelta

from django.core.management import CommandError, call_command
from django.test import TestCase, override_settings
from django.utils import timezone

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs
from tests.support import NOW, ago, claim, isolate_registries, make_task, make_worker, reload


class CancelTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_waiting_call_never_runs(self):
        task = make_task(unique=True)
        for row in (task.queue(1), task.queue(2, due=timezone.now() + timedelta(hours=1))):
            self.assertTrue(row.cancel("cancelled by ann"))

            self.assertEqual((row.state, row.error), ("INTERRUPTED", "cancelled by ann"))
            self.assertIsNone(reload(row).unique_key)
        self.assertEqual(claim(make_worker(), queues=["default"]), [])
        self.assertEqual(task.queue(1).state, "QUEUED")

    def test_a_running_one_is_told(self):
        row = make_task().queue()
        claim(make_worker())

        self.assertTrue(row.cancel())

        self.assertEqual(row.state, "PROCESSING")
        self.assertEqual(task_execs.cancelled([row.pk]), [row.pk])

    def test_a_running_one_that_was_cancelled_has_no_next_attempt(self):
        me = make_worker()
        row = make_task(retries=3).queue()
        [claimed] = claim(me)
        row.cancel()

        failed = Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(0, 2, 0))
        task_execs.finish([(claimed, failed)], me.worker_id, NOW)

        self.assertEqual((reload(row).state, reload(row).replaced_by), ("FAILED", None))

    def test_one_that_has_ended_is_left(self):
        row = TaskExec.objects.create(task_name="t", state="SUCCEEDED")

        self.assertFalse(row.cancel())
        self.assertEqual(row.state, "SUCCEEDED")


class PruneTests(TestCase):
    def ended(self, state="SUCCEEDED", days=40, **fields):
        finished = timezone.now() - timedelta(days=days)
        return TaskExec.objects.create(task_name="t", state=state, finished=finished, **fields)

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

    def test_rows_that_others_point_to_are_let_go(self):
        target = self.ended()
        before = TaskExec.objects.create(task_name="t", state="FAILED", replaced_by=target)
        schedule = ScheduleExec.objects.create(name="s", last_task=target)

        self.assertEqual(
            task_execs.prune(task_execs.expired({"SUCCEEDED": timedelta(1)}, timezone.now())), 1
        )

        schedule.refresh_from_db()
        self.assertEqual((reload(before).replaced_by_id, schedule.last_task_id), (None, None))

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
