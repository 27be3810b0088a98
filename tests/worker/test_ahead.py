"""A stored moment in the future: a clock that was ahead has written it, and it is not believed."""

from datetime import UTC, datetime, timedelta
from unittest import mock

from django.test import TestCase
from django.utils import timezone

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ConcurrencyKey, ScheduleExec, TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry, tasks_registry
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.enqueue import new_row
from django_toosimple_q.worker.clock import Clock
from django_toosimple_q.worker.maintenance import Maintenance
from django_toosimple_q.worker.registration import register
from django_toosimple_q.worker.scheduler import Pause, Scheduler
from tests.support import (
    NOW,
    claim,
    isolate_registries,
    make_task,
    make_worker,
    registration_of,
    reload,
)

SECOND, MINUTE, HOUR, DAY, YEAR = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=365),
)
TIMEOUT = timedelta(seconds=60)
NEVER = -1e9


class ScheduleTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def schedule(self, cron="* * * * * *", **options):
        schedule_task(cron=cron, name="s", timezone="UTC", **options)(make_task("scheduled"))
        return self.scheduler()

    def scheduler(self):
        scheduler = Scheduler(list(schedules_registry.values()))
        scheduler.sync(NOW)
        return scheduler

    def occurrences(self):
        return [row.due for row in TaskExec.objects.order_by("pk")]

    def test_a_year_ahead_is_told_once_and_set_back_at_the_start_of_a_worker(self):
        self.schedule()
        ScheduleExec.objects.update(last_due=NOW + YEAR)

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            workers_at_once = [self.scheduler(), self.scheduler()]
        queued = [one.run_once(NOW + SECOND) for one in workers_at_once]

        self.assertEqual(len(logs.output), 1, logs.output)
        self.assertIn("had_run_until=2027-05-01T12:00:00Z", logs.output[0])
        self.assertEqual((queued, self.occurrences()), ([1, 0], [NOW + SECOND]))

    def test_a_worker_whose_clock_goes_back_does_the_same_without_a_start(self):
        scheduler = self.schedule()
        for _ in range(2):
            scheduler.run_once(NOW + YEAR)

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            scheduler.run_once(NOW + 8 * SECOND)
        scheduler.run_once(NOW + 9 * SECOND)

        self.assertEqual(len(logs.output), 1)
        self.assertEqual(self.occurrences(), [NOW + YEAR, NOW + 9 * SECOND])

    def test_what_runs_already_finds_a_row_that_another_worker_has_put_ahead(self):
        scheduler = self.schedule()
        ScheduleExec.objects.update(last_due=NOW + YEAR)

        with self.assertLogs("toosimpleq", "WARNING"):
            queued = [scheduler.run_once(NOW + step * SECOND) for step in (1, 2)]

        self.assertEqual(queued, [0, 1])

    def test_an_occurrence_that_was_queued_is_not_queued_twice(self):
        scheduler = self.schedule("0 * * * *")
        scheduler.run_once(NOW + HOUR)

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            back = [scheduler.run_once(NOW + HOUR - 10 * MINUTE), scheduler.run_once(NOW + HOUR)]
        scheduler.run_once(NOW + 2 * HOUR)

        self.assertEqual((back, len(logs.output)), ([0, 0], 1))
        self.assertEqual(self.occurrences(), [NOW + HOUR, NOW + 2 * HOUR])

    def test_a_call_that_somebody_queued_for_later_is_no_occurrence(self):
        scheduler = self.schedule("0 * * * *")
        schedules_registry["s"].task.queue(due=NOW + HOUR)
        ScheduleExec.objects.update(last_due=NOW + YEAR)

        with self.assertLogs("toosimpleq", "WARNING"):
            scheduler.run_once(NOW + MINUTE)

        self.assertEqual(scheduler.run_once(NOW + HOUR), 1)

    def test_half_a_minute_ahead_is_the_other_host_s_clock(self):
        scheduler = self.schedule()
        ScheduleExec.objects.update(last_due=NOW + 30 * SECOND)

        with self.assertNoLogs("toosimpleq", "WARNING"):
            queued = [scheduler.run_once(NOW + step * SECOND) for step in (1, 30, 31)]

        self.assertEqual(queued, [0, 0, 1])

    def test_a_pause_ends_that_was_to_end_ahead(self):
        scheduler = self.schedule()
        scheduler.run_once(NOW + YEAR)
        scheduler._pause_all(NOW + YEAR)
        scheduler.broken["s"] = "text", Pause(MINUTE, NOW + YEAR + MINUTE)

        with self.assertLogs("toosimpleq", "WARNING"):
            scheduler.run_once(NOW)

        self.assertEqual(scheduler.run_once(NOW + SECOND), 1)


class LimitTests(TestCase):
    def test_a_rate_that_is_used_up_for_a_year_opens_after_one_interval(self):
        isolate_registries(self)
        make_task("limited", rate_limit="2/m").queue()
        ConcurrencyKey.objects.create(name="limited", used_until=NOW + YEAR)
        me = make_worker()

        waiting = task_execs.backlog(NOW)
        ConcurrencyKey.objects.update(used_until=NOW + 30 * SECOND)

        self.assertEqual((waiting.buckets, waiting.next_open), ([], NOW + 30 * SECOND))
        self.assertEqual(len(claim(me, now=NOW + 30 * SECOND)), 1)


class WorkerTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker("me", timeout=TIMEOUT)

    def look(self, maintenance, seconds):
        with mock.patch("time.monotonic", return_value=1000.0 + seconds):
            maintenance.run_once(NOW)

    def declared(self, *, patient, beats=False):
        make_worker("other", incarnation="o", timeout=TIMEOUT, now=NOW + YEAR)
        maintenance = Maintenance(registration_of(self.me), patient=patient)
        for step in range(4):
            self.look(maintenance, 10 * step)
            if beats:
                WorkerStatus.objects.filter(label="other").update(
                    last_tick=NOW + YEAR + step * SECOND
                )
        return WorkerStatus.objects.get(label="other").rescued is not None

    def test_a_dead_one_whose_heartbeat_lies_ahead_is_declared_dead(self):
        self.assertTrue(self.declared(patient=True))

    def test_one_that_beats_on_is_alive(self):
        self.assertFalse(self.declared(patient=True, beats=True))

    def test_a_drain_that_sees_it_once_does_not_judge(self):
        make_worker("other", incarnation="o", timeout=TIMEOUT, now=NOW + YEAR)

        self.look(Maintenance(registration_of(self.me), patient=False), 0)

        self.assertIsNone(WorkerStatus.objects.get(label="other").rescued)

    def test_the_admin_shows_it_as_timed_out(self):
        make_worker("other", incarnation="o", timeout=TIMEOUT, now=timezone.now() + YEAR)

        self.assertEqual(WorkerStatus.objects.get(label="other").state, "TIMEDOUT")

    def test_its_label_is_free_after_its_timeout(self):
        make_worker("w", incarnation="o", timeout=TIMEOUT, now=NOW + YEAR, host="elsewhere", pid=1)
        waited = []

        row = register(
            "w",
            label_is_default=False,
            settings={"timeout": TIMEOUT, "tasks": []},
            now=lambda: NOW + sum(waited) * SECOND + len(waited) * SECOND,
            wait=waited.append,
        )

        self.assertEqual((waited, row.host != "elsewhere"), ([60.0], True))


class WaitingTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        make_task()
        self.task = tasks_registry["t"]

    def waiting(self, state, *, due, created=None, attempt=1):
        row = new_row(self.task, (), {}, due=due, now=created or due, state=state)
        row.attempt = attempt
        row.save()
        return row

    def set_back(self):
        maintenance = Maintenance(registration_of(make_worker()), patient=True)
        maintenance.run_once(NOW)

    def test_a_next_attempt_sleeps_as_long_as_it_was_to_sleep(self):
        row = self.waiting("SLEEPING", due=NOW + YEAR + MINUTE, created=NOW + YEAR, attempt=2)

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            self.set_back()

        self.assertIn("count=1", logs.output[0])
        self.assertEqual((reload(row).due, reload(row).created), (NOW + MINUTE, NOW))

    def test_a_waiting_one_is_not_overtaken_for_a_year(self):
        row = self.waiting("QUEUED", due=NOW + YEAR)

        with self.assertLogs("toosimpleq", "WARNING"):
            self.set_back()

        self.assertEqual(reload(row).due, NOW)

    def test_what_is_meant_stays(self):
        rows = [
            self.waiting("SLEEPING", due=NOW + YEAR, created=NOW),
            self.waiting("SLEEPING", due=NOW + YEAR + DAY, created=NOW + YEAR),
            self.waiting("SLEEPING", due=NOW + YEAR, created=NOW, attempt=2),
            self.waiting("QUEUED", due=NOW + HOUR),
        ]

        with self.assertNoLogs("toosimpleq", "WARNING"):
            self.set_back()

        self.assertEqual([reload(row).due for row in rows], [row.due for row in rows])

    def test_a_worker_whose_clock_goes_back_looks_again(self):
        maintenance = Maintenance(registration_of(make_worker()), patient=True)
        maintenance.run_once(NOW + YEAR)
        row = self.waiting("QUEUED", due=NOW + YEAR)

        with self.assertLogs("toosimpleq", "WARNING"):
            maintenance.run_once(NOW)

        self.assertEqual(reload(row).due, NOW)


class PruningTests(TestCase):
    """The retention of all tests is 30 days for SUCCEEDED rows."""

    def setUp(self):
        isolate_registries(self)
        self.rows = [self.ended(NOW - step * DAY) for step in range(20)]

    def ended(self, finished):
        return TaskExec.objects.create(task_name="t", state="SUCCEEDED", finished=finished)

    def maintenance(self, label="me"):
        return Maintenance(registration_of(make_worker(label)), patient=True)

    def left(self):
        return TaskExec.objects.count()

    def test_after_a_jump_of_the_clock_nearly_everything_stays_and_it_is_told_once(self):
        maintenance = self.maintenance()

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            maintenance.run_once(NOW + YEAR, jumped=True)
            for _ in range(3):
                maintenance.deferred_until = NEVER
                maintenance.run_once(NOW + YEAR)

        self.assertEqual((self.left(), len(logs.output)), (20, 1))
        self.assertIn("expired=20 kept=0", logs.output[0])

    def test_so_it_does_for_another_worker_and_after_a_restart(self):
        self.maintenance().run_once(NOW + YEAR, jumped=True)

        self.maintenance("another").run_once(NOW + YEAR + HOUR)

        self.assertEqual(self.left(), 20)

    def test_after_a_day_the_clock_is_believed(self):
        maintenance = self.maintenance()
        maintenance.run_once(NOW + YEAR, jumped=True)
        maintenance.deferred_until = NEVER

        maintenance.run_once(NOW + YEAR + DAY + SECOND)

        self.assertEqual(self.left(), 0)

    def test_a_jump_that_was_taken_back_defers_nothing(self):
        maintenance = self.maintenance()
        maintenance.run_once(NOW + YEAR, jumped=True)
        maintenance.deferred_until = NEVER

        maintenance.run_once(NOW + 40 * DAY)

        self.assertEqual(self.left(), 0)

    def test_the_few_that_are_old_are_deleted_after_a_jump_as_well(self):
        self.maintenance().run_once(NOW + 12 * DAY, jumped=True)

        self.assertEqual(self.left(), 18)

    def test_a_start_after_a_long_silence_counts_as_a_jump(self):
        make_worker("before", incarnation="o", now=NOW, stopped=NOW)
        settings = {"timeout": TIMEOUT, "tasks": []}

        rows = [
            register(label, label_is_default=True, settings=settings, now=lambda: NOW + YEAR)
            for label in ("before", "new")
        ]

        self.assertEqual([row.clock_jumped for row in rows], [NOW + YEAR, None])
        self.assertTrue(workers.has_clock_jumped(NOW + YEAR - HOUR, NOW + YEAR))
        self.assertFalse(workers.has_clock_jumped(NOW - HOUR, NOW))


class ClockTests(TestCase):
    def setUp(self):
        self.clock = Clock(registration_of(make_worker()))
        self.enterContext(mock.patch("time.monotonic", return_value=100.0))

    def jumped(self, *, database, host=timedelta(0)):
        moment = datetime(2026, 5, 1, tzinfo=UTC)
        with (
            mock.patch.object(workers, "clock", return_value=moment + database),
            mock.patch("django.utils.timezone.now", return_value=moment + host),
        ):
            return self.clock.synchronize()

    def test_a_jump_is_told_with_its_size_and_far_ahead_it_counts(self):
        steps = [timedelta(0), 30 * SECOND, YEAR, YEAR - 10 * MINUTE]

        with self.assertLogs("toosimpleq", "WARNING") as logs:
            jumped = [self.jumped(database=step, host=step) for step in steps]

        self.assertEqual(jumped, [False, False, True, False])
        told = [line for line in logs.output if "jumped by" in line]
        self.assertEqual(len(told), 2)
        self.assertIn("jumped by -600 s", told[1])

    def test_a_database_whose_clock_is_far_ahead_of_the_host_s_counts_all_the_time(self):
        with self.assertLogs("toosimpleq", "WARNING"):
            jumped = [self.jumped(database=2 * HOUR) for _ in range(2)]

        self.assertEqual(jumped, [True, True])
