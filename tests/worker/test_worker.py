"""The worker as users call it: inline, inside a TestCase, under a frozen clock."""

import os
from datetime import UTC, datetime, timedelta

from django.core.management import CommandError, call_command
from django.test import TestCase
from django.utils import timezone
from freezegun import freeze_time

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.worker.registration import own_identity
from django_toosimple_q.worker.scheduler import Scheduler
from tests.support import isolate_registries, make_task, make_worker, reload, states


class InlineTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def drain(self, *options):
        call_command("worker", "--until_done", *options)

    def test_until_done_runs_everything_that_is_queued(self):
        rows = make_task(func=lambda a, b: a * b).queue_many([(n, 2) for n in range(50)])

        self.drain()

        self.assertEqual([reload(row).result for row in rows], [2 * n for n in range(50)])

    def test_until_done_runs_what_tasks_queue_meanwhile(self):
        make_task("last")
        make_task("first", lambda: tasks_registry["last"].queue() and None).queue()

        self.drain()

        self.assertEqual(states(), ["SUCCEEDED", "SUCCEEDED"])

    def test_once_runs_one_task(self):
        make_task().queue_many([(1,), (2,)])

        call_command("worker", "--once")

        self.assertEqual(states(), ["SUCCEEDED", "QUEUED"])

    def test_larger_priorities_run_first(self):
        order = []
        make_task("low", lambda: order.append("low"), priority=0).queue()
        make_task("high", lambda: order.append("high"), priority=1).queue()

        self.drain()

        self.assertEqual(order, ["high", "low"])

    def test_queues_are_included_and_excluded(self):
        for name in ("a", "b", "c"):
            make_task(name, queue=name).queue()

        for options in (["--queue", "a", "--queue", "c"], ["--queue=a, c"]):
            self.drain(*options)
            self.assertEqual(states(), ["SUCCEEDED", "QUEUED", "SUCCEEDED"])
            TaskExec.objects.update(state="QUEUED")

        self.drain("--exclude_queue", "a")
        self.assertEqual(states(), ["QUEUED", "SUCCEEDED", "SUCCEEDED"])

    def test_flags_may_be_written_with_dashes(self):
        make_task(queue="a").queue()

        call_command("worker", "--until-done", "--exclude-queue=b", "--no-schedules")

        self.assertEqual(states(), ["SUCCEEDED"])

    def test_a_failed_task_is_retried_with_doubling_delays(self):
        with freeze_time("2026-01-01 12:00:00") as clock:
            make_task(func=lambda: 1 / 0, retries=2, retry_delay=10).queue()
            self.drain()
            self.assertEqual(states(), ["FAILED", "SLEEPING"])
            clock.tick(9)
            self.drain()
            self.assertEqual(states(), ["FAILED", "SLEEPING"])
            clock.tick(1)
            self.drain()
            self.assertEqual(states(), ["FAILED", "FAILED", "SLEEPING"])
            clock.tick(19)
            self.drain()
            self.assertEqual(states(), ["FAILED", "FAILED", "SLEEPING"])
            clock.tick(1)
            self.drain()
            self.assertEqual(states(), ["FAILED", "FAILED", "FAILED"])

    def test_a_task_sleeps_until_it_is_due(self):
        with freeze_time("2026-01-01 12:00:00") as clock:
            make_task().queue(due=timezone.now() + timedelta(hours=1))
            self.drain()
            self.assertEqual(states(), ["SLEEPING"])
            clock.tick(3600)
            self.drain()
            self.assertEqual(states(), ["SUCCEEDED"])

    def test_rows_from_before_a_limit_take_their_turn_under_its_key(self):
        make_task("few").queue_many([(1,), (2,), (3,)])
        make_task("few", rate_limit="1/h")

        self.drain()

        self.assertEqual(sorted(states()), ["QUEUED", "QUEUED", "SUCCEEDED"])

    def test_a_row_of_an_unknown_task_becomes_invalid_and_runs_when_it_is_known(self):
        row = TaskExec.objects.create(task_name="later", args=["test"])

        self.drain()
        self.assertEqual((reload(row).state, reload(row).finished), ("INVALID", None))

        make_task("later")
        self.drain()
        self.assertEqual((reload(row).state, reload(row).result), ("SUCCEEDED", [("test",), {}]))

    def test_finished_rows_of_unknown_tasks_are_left_alone(self):
        row = TaskExec.objects.create(task_name="gone", state="SUCCEEDED")

        self.drain()

        self.assertEqual(reload(row).state, "SUCCEEDED")

    def test_a_row_that_a_living_worker_knows_is_left_to_it(self):
        make_worker("other", now=timezone.now(), tasks=["newer"])
        row = TaskExec.objects.create(task_name="newer")
        make_task("mine").queue()

        self.drain()

        self.assertEqual((reload(row).state, reload(row).worker_id), ("QUEUED", None))
        self.assertEqual(states()[-1], "SUCCEEDED")

    def test_a_forged_row_is_invalid_with_the_reason_and_its_neighbours_run(self):
        task = make_task()
        forged, honest = task.queue(1), task.queue(2)
        other = make_task("other").queue("evil")
        TaskExec.objects.filter(pk=forged.pk).delete()
        copied = TaskExec.objects.get(pk=other.pk)
        copied.pk, copied.task_name = forged.pk, "t"
        copied.save(force_insert=True)

        self.drain()

        self.assertEqual(reload(forged).state, "INVALID")
        self.assertIn("signature does not match", reload(forged).error)
        self.assertEqual(reload(honest).state, "SUCCEEDED")

    def test_the_worker_leaves_a_row_that_says_how_it_ended(self):
        self.drain("--label", "me-{pid}", "--queue", "a", "--timeout", "60")

        row = WorkerStatus.objects.get()
        self.assertRegex(row.label, r"^me-\d+$")
        self.assertEqual((row.state, row.exit_code, row.exit_log), ("STOPPED", 0, ""))
        self.assertEqual((row.included_queues, row.timeout), (["a"], timedelta(minutes=1)))

    def test_a_worker_started_again_under_its_label_reuses_its_row(self):
        self.drain("--label", "me")
        first = WorkerStatus.objects.get()

        self.drain("--label", "me")

        again = WorkerStatus.objects.get()
        self.assertEqual(again.pk, first.pk)
        self.assertNotEqual(again.incarnation, first.incarnation)

    def test_taking_a_label_over_rescues_what_it_held(self):
        dead = make_worker("me", now=timezone.now() - timedelta(hours=2))
        row = TaskExec.objects.create(task_name="t", state="PROCESSING", worker_id=dead.worker_id)
        make_task()

        self.drain("--label", "me")

        self.assertEqual(reload(row).state, "INTERRUPTED")
        self.assertEqual(reload(row).replaced_by.state, "SUCCEEDED")

    def test_a_dead_worker_s_tasks_are_run_by_the_next(self):
        dead = make_worker("dead", now=timezone.now() - timedelta(hours=2))
        row = TaskExec.objects.create(task_name="t", state="PROCESSING", worker_id=dead.worker_id)
        make_task()

        self.drain()

        self.assertEqual(reload(row).replaced_by.state, "SUCCEEDED")
        self.assertEqual(WorkerStatus.objects.get(label="dead").state, "TIMEDOUT")


class ScheduleTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def schedule(self, name="s", cron="0 12 * * *", queue="default", **options):
        task = make_task(f"task of {name}")
        schedule_task(name=name, cron=cron, queue=queue, timezone="UTC", **options)(task)

    def drain(self, at, *options):
        with freeze_time(at):
            call_command("worker", "--until_done", *options)

    def test_a_new_schedule_runs_at_its_next_occurrence(self):
        self.schedule()

        self.drain("2026-01-01 11:00")
        self.assertEqual(states(), [])
        self.drain("2026-01-01 12:00")
        self.assertEqual(states(), ["SUCCEEDED"])
        self.drain("2026-01-01 12:30")
        self.assertEqual(states(), ["SUCCEEDED"])
        self.drain("2026-01-02 12:00")
        self.assertEqual(states(), ["SUCCEEDED"] * 2)

    def test_run_on_creation_runs_the_latest_occurrence_at_once(self):
        self.schedule(run_on_creation=True, datetime_kwarg="at")

        self.drain("2026-01-01 11:00")
        self.drain("2026-01-01 11:30")

        [row] = TaskExec.objects.all()
        self.assertEqual(row.kwargs, {"at": datetime(2025, 12, 31, 12, tzinfo=UTC)})

    def test_missed_occurrences_are_one_call_or_with_catch_up_each(self):
        self.schedule("latest", datetime_kwarg="at")
        self.schedule("each", catch_up=True, datetime_kwarg="at")
        self.drain("2026-01-01 11:00")

        self.drain("2026-01-04 11:00")

        days = [
            (row.task_name, row.kwargs["at"].day) for row in TaskExec.objects.order_by("due", "pk")
        ]
        self.assertEqual(
            sorted(days),
            [("task of each", 1), ("task of each", 2), ("task of each", 3), ("task of latest", 3)],
        )

    def test_a_long_catch_up_comes_in_batches_and_is_complete(self):
        self.schedule(cron="* * * * *", catch_up=True)
        self.drain("2026-01-01 00:00")

        self.drain("2026-01-01 05:00")

        self.assertEqual(TaskExec.objects.filter(state="SUCCEEDED").count(), 300)

    def test_a_manual_schedule_never_runs_by_itself(self):
        self.schedule(cron="manual", run_on_creation=True)

        self.drain("2026-01-01 11:00")
        self.drain("2027-01-01 11:00")

        self.assertEqual(states(), [])

    def test_schedules_belong_to_the_workers_of_their_queue(self):
        self.schedule(queue="x", run_on_creation=True)

        self.drain("2026-01-01 11:00", "--queue", "y")
        self.assertEqual(ScheduleExec.objects.count(), 0)
        self.drain("2026-01-01 11:00", "--no_schedules")
        self.assertEqual(ScheduleExec.objects.count(), 0)
        self.drain("2026-01-01 11:00", "--queue", "x")
        self.assertEqual(ScheduleExec.objects.get().last_task.state, "QUEUED")

    def test_a_schedule_that_is_gone_is_invalid_and_never_runs(self):
        self.schedule()
        self.drain("2026-01-01 11:00")
        schedules_registry.clear()

        self.drain("2026-01-03 11:00")

        self.assertEqual(ScheduleExec.objects.get().state, "INVALID")
        self.assertEqual(states(), [])

    def test_that_a_schedule_is_gone_is_reported_once(self):
        self.schedule()
        self.drain("2026-01-01 11:00")
        schedules_registry.clear()

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            for _ in range(3):
                self.drain("2026-01-03 11:00")

        [line] = logs.output
        self.assertIn("schedule is gone from the code, its row becomes INVALID: schedule=s", line)

    def test_a_schedule_whose_row_is_deleted_goes_on_without_a_restart(self):
        self.schedule(cron="* * * * *")
        now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        scheduler = Scheduler(schedules_registry.for_queue([], []))
        scheduler.sync(now)
        ScheduleExec.objects.all().delete()

        queued = [scheduler.run_once(now + timedelta(minutes=minute)) for minute in range(1, 4)]

        self.assertEqual(queued, [0, 1, 1])

    def test_a_schedule_s_row_that_somebody_changed_is_read_within_a_minute(self):
        self.schedule()
        now = datetime(2026, 1, 1, 13, tzinfo=UTC)
        scheduler = Scheduler(schedules_registry.for_queue([], []))
        scheduler.sync(now)
        ScheduleExec.objects.update(last_due=now - timedelta(hours=2))

        queued = [scheduler.run_once(now + timedelta(seconds=after)) for after in (59, 60, 61)]

        self.assertEqual(queued, [0, 1, 0])
        [row] = TaskExec.objects.all()
        self.assertEqual(row.due, datetime(2026, 1, 1, 12, tzinfo=UTC))

    def test_a_schedule_renamed_by_case_only_runs_under_its_new_name(self):
        self.schedule("report")
        self.drain("2026-01-01 11:00")
        schedules_registry.clear()
        self.schedule("Report")

        self.drain("2026-01-01 11:30")
        self.drain("2026-01-01 12:00")

        self.assertEqual(ScheduleExec.objects.get(state="ACTIVE").name, "Report")
        self.assertEqual(states(), ["SUCCEEDED"])


class BadOptionTests(TestCase):
    def test_each_gives_one_clear_error(self):
        cases = {
            "--tick=-1": "--tick cannot be -1. Use a number of seconds above 0",
            "--tick=0": "--tick cannot be 0",
            "--tick=abc": "--tick.*: cannot be 'abc'. Use a number of seconds, such as 2.5",
            "--timeout=abc": "--timeout: cannot be 'abc'. Use a number of seconds",
            "--timeout=1e12": r"--timeout cannot be 1e\+12. Use .* at least 1, at most 31536000",
            "--grace=nan": "--grace cannot be nan",
            "--threads=x": "--threads: cannot be 'x'. Use a whole number, such as 4",
            "--max-memory=abc": "--max.memory.*: cannot be 'abc'. Use a number of megabytes",
            "--timeout=0": "--timeout cannot be 0. Use a number of seconds of at least 1",
            "--grace=-1": "--grace cannot be -1. Use a number of seconds of at least 0",
            "--processes=0": "--processes cannot be 0. Use 1 or more",
            "--threads=-1": "--threads cannot be -1. Use 1 or more",
            "--max_tasks=0": "--max_tasks cannot be 0. Use 1 or more",
            "--max_memory=0": "--max_memory cannot be 0. Use 1 or more",
            "--max_memory=nan": "--max_memory cannot be nan. Use 1 or more",
            "--queue=": "--queue: cannot be ''. Name a queue, or omit the option",
            "--queue= , ,": "--queue: cannot be ' , ,'. Name a queue",
            "--exclude_queue=": "--exclude.queue.*: cannot be ''. Name a queue",
            "--queue=a\x00": "--queue cannot be .*NUL",
            "--label=": "--label has 0 characters",
            f"--label={'x' * 300}": "--label has 300 characters",
        }
        for option, message in cases.items():
            with self.subTest(option=option), self.assertRaisesRegex(CommandError, message):
                call_command("worker", "--until_done", option)

    def test_options_that_exclude_each_other_are_refused(self):
        for options in (["--once", "--until_done"], ["--queue=a", "--exclude_queue=b", "--once"]):
            with self.subTest(options=options), self.assertRaisesRegex(CommandError, "not allowed"):
                call_command("worker", *options)

    def test_a_label_that_a_living_process_holds_is_refused(self):
        here = own_identity()._replace(incarnation="other", pid=os.getppid())
        WorkerStatus.objects.create(label="me", last_tick=timezone.now(), **here._asdict())

        with self.assertRaisesRegex(CommandError, "'me' is held by process"):
            call_command("worker", "--until_done", "--label", "me")
