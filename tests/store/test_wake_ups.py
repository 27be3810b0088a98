"""Whatever puts a row into the queue wakes the workers, once its transaction has committed."""

from datetime import timedelta

from django.db import transaction
from django.test import TestCase

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import schedule_execs, task_execs, workers
from django_toosimple_q.store.schedule_execs import DueSchedule
from django_toosimple_q.wakeups import WORK
from tests.support import NOW, claim, hints, isolate_registries, make_task, make_worker, reload

IN_AN_HOUR = NOW + timedelta(hours=1)


class WakeUpTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.task = make_task(retries=3)
        self.me = make_worker()

    def assert_wakes(self, act, expected=(WORK,)):
        with hints() as sent:
            act()

        self.assertEqual(sent, list(expected))

    def claimed(self):
        self.task.queue()
        return claim(self.me, limit=1)[0]

    def finish(self, row, state="FAILED", **fields):
        outcome = Outcome(state, NOW, NOW, **fields)
        return task_execs.finish([(row, outcome)], self.me.worker_id, NOW)

    def test_a_call(self):
        self.assert_wakes(self.task.queue)

    def test_many_calls_at_once(self):
        self.assert_wakes(lambda: self.task.queue_many([(1,), (2,)]))

    def test_a_call_that_is_due_later_so_that_an_idle_worker_knows_when(self):
        self.assert_wakes(lambda: self.task.queue(due=IN_AN_HOUR))

    def test_a_unique_call_that_is_merged_into_one_that_sleeps(self):
        unique = make_task("u", unique=True)
        row = unique.queue(due=IN_AN_HOUR)

        self.assert_wakes(unique.queue)

        self.assertEqual(reload(row).state, "QUEUED")

    def test_an_occurrence_of_a_schedule(self):
        step = DueSchedule(self.schedule(), NOW, [IN_AN_HOUR])

        self.assert_wakes(lambda: schedule_execs.advance([step], IN_AN_HOUR))

    def test_a_schedule_that_is_run_by_hand(self):
        schedule = self.schedule()

        self.assert_wakes(lambda: schedule_execs.force(schedule, NOW))

    def schedule(self):
        schedule_task(name="s", cron="0 * * * *")(self.task)
        schedule = schedules_registry["s"]
        schedule_execs.sync([schedule], ["s"], NOW)
        return schedule

    def test_the_replacement_of_a_dead_worker_s_row(self):
        self.claimed()
        workers.declare_gone(WorkerStatus.objects.get(), NOW)

        self.assert_wakes(lambda: task_execs.rescue(NOW))

    def test_the_replacement_of_a_row_that_a_supervisor_recovers(self):
        row = self.claimed()

        self.assert_wakes(lambda: task_execs.recover(self.me, [row.pk], [], "killed", NOW))

    def test_a_row_that_a_supervisor_recovers_before_it_has_started(self):
        self.claimed()

        self.assert_wakes(lambda: task_execs.recover(self.me, [], [], "killed", NOW))

    def test_a_retry(self):
        for seconds in (0, 60):
            with self.subTest(seconds=seconds):
                row = self.claimed()
                again = NextAttempt(seconds, 2, 0)

                self.assert_wakes(lambda row=row, again=again: self.finish(row, next_attempt=again))

    def test_the_replacement_of_a_call_that_was_cut_off(self):
        row = self.claimed()

        self.assert_wakes(lambda: self.finish(row, "INTERRUPTED", replaced=True))

    def test_a_row_that_is_released(self):
        row = self.claimed()

        self.assert_wakes(lambda: task_execs.release([row], self.me.worker_id, NOW))

    def test_a_call_that_is_queued_again(self):
        row = self.claimed()
        self.finish(row)

        self.assert_wakes(lambda: task_execs.requeue(reload(row), NOW))

    def test_rows_whose_task_is_known_again(self):
        TaskExec.objects.create(task_name="t", state="INVALID")

        self.assert_wakes(lambda: task_execs.requeue_known(["t"], "v"))

    def test_an_outcome_without_a_replacement_wakes_nobody(self):
        row = self.claimed()

        self.assert_wakes(lambda: self.finish(row, "SUCCEEDED"), expected=())

    def test_what_is_rolled_back_wakes_nobody(self):
        def roll_back():
            with self.assertRaises(ZeroDivisionError), transaction.atomic():
                self.task.queue()
                raise ZeroDivisionError

        self.assert_wakes(roll_back, expected=())

    def test_many_rows_of_one_transaction_send_one_hint(self):
        def queue_both():
            with transaction.atomic():
                self.task.queue_many([(1,), (2,)])
                self.task.queue()

        self.assert_wakes(queue_both)
