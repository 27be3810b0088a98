"""Many schedules that are due at once: batches, claims between them, one call per occurrence."""

import threading
from collections import Counter
from datetime import timedelta
from unittest import mock, skipIf

from django.db import connection, connections, transaction
from django.test import TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.store import schedule_execs
from django_toosimple_q.store.schedule_execs import DueSchedule
from django_toosimple_q.worker.options import WorkerOptions
from django_toosimple_q.worker.scheduler import BATCH, LOCKED_SECONDS, Scheduler
from django_toosimple_q.worker.worker import Worker
from tests.faults.sessions import elsewhere
from tests.support import NOW, isolate_registries, make_task

MINUTE = timedelta(minutes=1)


def make_schedules(count, task=None, prefix="s", cron="* * * * *", **options):
    task = task or make_task("scheduled")
    names = [f"{prefix}{number:03}" for number in range(count)]
    for name in names:
        schedule_task(cron=cron, name=name, timezone="UTC", **options)(task)
    return names


def scheduler_at(now):
    scheduler = Scheduler(list(schedules_registry.values()))
    scheduler.sync(now)
    return scheduler


def calls_by_schedule():
    """Return how many calls each schedule has queued, by the argument that names it."""
    return Counter(row.args[0] for row in TaskExec.objects.all())


class BatchTests(TestCase):
    def setUp(self):
        isolate_registries(self)

    def test_a_batch_is_queued_at_a_time_and_everything_once(self):
        make_schedules(2 * BATCH + 10)
        scheduler = scheduler_at(NOW)

        queued = [scheduler.run_once(NOW + MINUTE) for _ in range(4)]

        self.assertEqual(queued, [BATCH, BATCH, 10, 0])
        self.assertEqual(ScheduleExec.objects.filter(last_due=NOW + MINUTE).count(), sum(queued))
        pairs = ScheduleExec.objects.values_list("last_task", flat=True)
        self.assertEqual(len(set(pairs)), sum(queued))

    def test_the_number_of_statements_does_not_grow_with_that_of_schedules(self):
        first, *others = make_schedules(BATCH)
        scheduler_at(NOW)

        with CaptureQueriesContext(connection) as one:
            self.assertEqual(scheduler_of([first], NOW).run_once(NOW + MINUTE), 1)
        with CaptureQueriesContext(connection) as many:
            self.assertEqual(scheduler_of(others, NOW).run_once(NOW + MINUTE), BATCH - 1)

        self.assertEqual(len(many), len(one))

    def test_a_batch_that_another_worker_has_queued_leaves_the_rest_due(self):
        make_schedules(BATCH + 1)
        mine, other = scheduler_at(NOW), scheduler_at(NOW)
        other.run_once(NOW + MINUTE)

        queued = mine.run_once(NOW + MINUTE)

        self.assertEqual((queued, mine.is_due(NOW + MINUTE)), (0, True))
        self.assertEqual((mine.run_once(NOW + MINUTE), mine.is_due(NOW + MINUTE)), (1, False))
        self.assertEqual(TaskExec.objects.count(), BATCH + 1)

    def test_what_another_worker_has_moved_is_returned_with_where_it_stands(self):
        [name] = make_schedules(1)
        scheduler_at(NOW).run_once(NOW + MINUTE)
        step = DueSchedule(schedules_registry[name], NOW, [NOW + 2 * MINUTE])

        advance = schedule_execs.advance([step], NOW + 2 * MINUTE)

        self.assertEqual((advance.queued, advance.moved), ({}, {name: NOW + MINUTE}))

    def test_what_is_on_time_comes_before_what_is_behind(self):
        make_schedules(1, cron="* * * * * *", catch_up=True, prefix="behind", args=["behind"])
        scheduler = scheduler_at(NOW)
        later = NOW + timedelta(hours=1)
        scheduler.run_once(later)
        make_schedules(1, prefix="on-time", args=["on time"])
        scheduler = keep_behind(scheduler, later)

        scheduler.run_once(later + MINUTE)

        self.assertEqual(calls_by_schedule(), {"on time": 1, "behind": 2 * BATCH - 1})

    def test_two_that_are_behind_take_turns(self):
        for name in ("one", "two"):
            make_schedules(1, cron="* * * * * *", catch_up=True, prefix=name, args=[name])
        scheduler = scheduler_at(NOW)

        for _ in range(4):
            scheduler.run_once(NOW + timedelta(hours=1))

        self.assertEqual(calls_by_schedule(), {"one": 2 * BATCH, "two": 2 * BATCH})

    def test_an_urgent_call_runs_before_all_schedules_are_through(self):
        ran = []
        make_schedules(3 * BATCH, make_task("scheduled", lambda: ran.append("scheduled")))
        urgent = make_task("urgent", lambda: ran.append("urgent"), priority=10)
        worker = Worker(WorkerOptions(label="w", until_done=True))
        with mock.patch.object(worker, "now", return_value=NOW):
            worker.enter()
        urgent.queue()

        worker.run_once(NOW + MINUTE)

        self.assertEqual((ran[0], TaskExec.objects.count()), ("urgent", BATCH + 1))

    def test_until_done_goes_on_until_all_are_through(self):
        make_schedules(BATCH + 1)
        scheduler_at(NOW).run_once(NOW + MINUTE)
        worker = Worker(WorkerOptions(label="w", until_done=True))
        with mock.patch.object(worker, "now", return_value=NOW + MINUTE):
            worker.enter()
            # As one that read the rows before the other worker advanced the first batch.
            worker.scheduler.last_due = dict.fromkeys(worker.scheduler.schedules, NOW)
            worker.scheduler.next_due = dict.fromkeys(worker.scheduler.schedules, NOW + MINUTE)
            worker.loop()

        self.assertEqual(TaskExec.objects.filter(state="SUCCEEDED").count(), BATCH + 1)


class RefusedTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_one_that_cannot_be_queued_leaves_its_neighbours_their_call(self):
        good = make_task("good")
        make_schedules(3, good, prefix="a", args=["good"])
        bad = make_task("bad", lambda: None, unique=True, unique_by=lambda: 1 / 0)
        make_schedules(1, bad, prefix="b")
        scheduler = scheduler_at(NOW)

        with self.assertLogs("toosimpleq", "ERROR"):
            scheduler.run_once(NOW + MINUTE)

        self.assertEqual(calls_by_schedule(), {"good": 3})
        broken = ScheduleExec.objects.get(state=ScheduleExec.States.BROKEN)
        self.assertEqual((broken.name, broken.last_due), ("b000", NOW))


class RacingTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)

    def test_however_many_race_each_occurrence_is_queued_once(self):
        names = make_schedules(3 * BATCH)
        schedulers = [scheduler_at(NOW) for _ in range(4)]
        start = threading.Barrier(len(schedulers))
        problems = []

        def race(scheduler):
            try:
                start.wait(10)
                for second in range(3 * LOCKED_SECONDS):
                    moment = NOW + MINUTE + timedelta(seconds=second)
                    while scheduler.is_due(moment):
                        scheduler.run_once(moment)
            except BaseException as error:
                problems.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=race, args=[one]) for one in schedulers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        self.assertEqual(problems, [])
        self.assertEqual(TaskExec.objects.count(), len(names))
        tasks = ScheduleExec.objects.filter(last_due=NOW + MINUTE).values_list("last_task")
        self.assertEqual(len(set(tasks)), len(names))

    @skipIf(connection.vendor == "sqlite", "SQLite locks the file")
    def test_one_whose_row_is_locked_is_passed_over_and_comes_later(self):
        make_schedules(3)
        scheduler = scheduler_at(NOW)
        later = NOW + MINUTE + timedelta(seconds=LOCKED_SECONDS)

        with transaction.atomic():
            ScheduleExec.objects.select_for_update().get(name="s001")
            queued = elsewhere(lambda: scheduler.run_once(NOW + MINUTE))
            self.assertEqual((queued, scheduler.is_due(NOW + MINUTE)), (2, False))

        self.assertEqual(scheduler.run_once(NOW + MINUTE), 0, "not at once again")
        self.assertEqual(scheduler.run_once(later), 1)
        self.assertEqual(TaskExec.objects.count(), 3)


def scheduler_of(names, now):
    """Return a scheduler of some schedules, which has read their rows at `now`."""
    scheduler = Scheduler([schedules_registry[name] for name in names])
    scheduler.read_again = now + timedelta(hours=1)
    for name, schedule in scheduler.schedules.items():
        scheduler.last_due[name] = now
        scheduler.next_due[name] = schedule.expression.next(now)
    return scheduler


def keep_behind(scheduler, now):
    """Return a scheduler of all that is registered by now, which knows what is behind."""
    grown = scheduler_at(now)
    grown.behind = scheduler.behind
    return grown
