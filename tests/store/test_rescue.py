from datetime import timedelta
from unittest import mock

from django.test import SimpleTestCase, TestCase
from django.utils import timezone

from django_toosimple_q.execution import Outcome
from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.registry import tasks_registry
from django_toosimple_q.retry import NextAttempt
from django_toosimple_q.store import task_execs, workers
from django_toosimple_q.store.rescue import UNKNOWN
from tests.support import (
    NOW,
    ago,
    claim,
    claimed,
    isolate_registries,
    make_task,
    make_worker,
    reload,
    states,
)


def row_of(claimant):
    return WorkerStatus.objects.get(pk=claimant.worker_id)


class RescueTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.dead = make_worker("dead", incarnation="d")
        self.alive = make_worker("alive", incarnation="a")

    def die(self):
        workers.declare_gone(row_of(self.dead), NOW)

    def test_a_dead_worker_s_rows_are_interrupted_and_replaced(self):
        make_task(retries=3, retry_delay=5).queue(1)
        [claimed] = claim(self.dead)
        self.die()

        [rescue] = task_execs.rescue(NOW)

        old, new = reload(claimed), reload(rescue.replaced_by)
        self.assertEqual((old.state, old.finished, old.crash_count), ("INTERRUPTED", NOW, 1))
        self.assertEqual((old.error, old.replaced_by_id), ("its worker died", new.pk))
        self.assertEqual((new.state, new.due, new.args), ("QUEUED", NOW, [1]))
        self.assertEqual(
            (new.retries, new.retry_delay, new.crash_count, new.exclusive), (3, 5, 1, True)
        )
        self.assertEqual((new.attempt, new.root_id), (2, old.pk))

    def test_rows_of_the_living_are_left(self):
        make_task().queue()
        [claimed] = claim(self.alive)

        self.assertEqual(task_execs.rescue(NOW), [])
        self.assertEqual(reload(claimed).state, "PROCESSING")

    def test_a_row_is_rescued_once(self):
        make_task().queue()
        claim(self.dead)
        self.die()
        task_execs.rescue(NOW)

        self.assertEqual(task_execs.rescue(NOW), [])
        self.assertEqual(TaskExec.objects.count(), 2)

    def test_a_stopped_worker_s_leftovers_are_rescued_as_well(self):
        make_task().queue()
        claim(self.dead)
        workers.stop(self.dead.worker_id, "d", 99, "boom", NOW)

        self.assertEqual(len(task_execs.rescue(NOW)), 1)

    def test_a_held_task_waits_for_a_person(self):
        make_task(on_interruption="hold").queue()
        [claimed] = claim(self.dead)
        self.die()

        [rescue] = task_execs.rescue(NOW)

        self.assertIsNone(rescue.replaced_by)
        row = reload(claimed)
        self.assertEqual((row.state, row.replaced_by_id), ("INTERRUPTED", None))
        self.assertIn("held for a person", row.error)

    def test_a_held_call_whose_task_the_rescuer_does_not_know_waits_for_a_person(self):
        make_task(on_interruption="hold").queue()
        [claimed] = claim(self.dead)
        self.die()
        # As during a deploy: the code of the task is on another host.
        tasks_registry.clear()

        [rescue] = task_execs.rescue(NOW)

        self.assertEqual((rescue.state, rescue.replaced_by), ("INTERRUPTED", None))
        self.assertIn("held for a person", reload(claimed).error)

    def test_a_later_attempt_of_a_held_call_is_held_too(self):
        make_task(on_interruption="hold", retries=1).queue()
        [claimed] = claim(self.dead)
        failed = Outcome("FAILED", NOW, NOW, next_attempt=NextAttempt(0, 0, 0))

        task_execs.finish([(claimed, failed)], self.dead.worker_id, NOW)

        self.assertTrue(TaskExec.objects.latest("pk").hold)

    def test_a_row_whose_worker_died_three_times_is_failed(self):
        make_task().queue()
        for death in range(3):
            claimant = make_worker(f"w{death}", incarnation=str(death))
            task_execs.wake(NOW)
            [claimed] = claim(claimant)
            workers.declare_gone(row_of(claimant), NOW)
            [rescue] = task_execs.rescue(NOW)

        row = reload(claimed)
        self.assertEqual((row.state, row.replaced_by_id, rescue.state), ("FAILED", None, "FAILED"))
        self.assertIn("its worker died 3 times", row.error)
        self.assertEqual(TaskExec.objects.count(), 3)

    def test_a_held_task_whose_worker_died_three_times_is_failed_as_well(self):
        row = make_task(on_interruption="hold").queue()
        TaskExec.objects.filter(pk=row.pk).update(crash_count=2)
        claim(self.dead)
        self.die()

        [rescue] = task_execs.rescue(NOW)

        self.assertEqual((rescue.state, rescue.replaced_by), ("FAILED", None))
        self.assertIn("its worker died 3 times", reload(row).error)

    def test_the_replacement_of_a_unique_row_merges_into_one_that_waits(self):
        task = make_task(unique=True)
        task.queue()
        [claimed] = claim(self.dead)
        waiting = task.queue()
        self.die()

        task_execs.rescue(NOW)

        self.assertEqual(reload(claimed).replaced_by_id, waiting.pk)
        self.assertEqual(reload(waiting).crash_count, 1)

    def test_a_row_whose_worker_has_no_row_is_found(self):
        make_task().queue()
        [claimed] = claim(self.dead)
        WorkerStatus.objects.filter(label="dead").delete()

        self.assertEqual(task_execs.rescue(NOW), [])
        self.assertEqual(task_execs.orphans(), [claimed.pk])
        self.assertEqual(len(task_execs.rescue_orphans([claimed.pk], NOW)), 1)
        self.assertEqual(reload(claimed).state, "INTERRUPTED")


class DeclareTests(TestCase):
    def test_only_a_stale_and_unchanged_worker_is_declared_dead_and_once(self):
        seen = row_of(make_worker(now=ago(hours=2), timeout=timedelta(hours=1)))

        self.assertTrue(workers.declare_dead(seen, NOW))
        self.assertFalse(workers.declare_dead(seen, NOW))

    def test_a_worker_that_beat_since_it_was_seen_lives(self):
        claimant = make_worker(now=ago(hours=2), timeout=timedelta(hours=1))
        seen = row_of(claimant)
        workers.beat(*claimant, now=ago(minutes=90))

        self.assertFalse(workers.declare_dead(seen, NOW))

    def test_a_fresh_worker_lives(self):
        seen = row_of(make_worker(now=ago(minutes=59), timeout=timedelta(hours=1)))

        self.assertFalse(workers.declare_dead(seen, NOW))


class BeatTests(TestCase):
    def test_it_is_written_by_the_database_s_clock(self):
        claimant = make_worker(now=ago(days=1000))

        # As on a host whose clock is fast; on SQLite that is the database's as well.
        fast = timezone.now() + timedelta(hours=1)
        with mock.patch("django.utils.timezone.now", return_value=fast):
            self.assertTrue(workers.beat(*claimant))
            apart = row_of(claimant).last_tick - workers.clock()

        self.assertLess(abs(apart.total_seconds()), 5)

    def test_a_worker_declared_dead_learns_it(self):
        for label, fields in (("a", {"rescued": NOW}), ("b", {"stopped": NOW})):
            with self.subTest(fields=fields):
                self.assertFalse(workers.beat(*make_worker(label, **fields)))
        self.assertFalse(workers.beat(10**9, "i"))
        self.assertFalse(workers.beat(make_worker("c").worker_id, "other"))


class RequeueKnownTests(TestCase):
    def test_rows_whose_task_is_known_again_are_queued(self):
        unknown = TaskExec.objects.create(task_name="t", state="INVALID")
        told = TaskExec.objects.create(
            task_name="t", state="INVALID", error="no worker knows …", error_type=UNKNOWN
        )
        unreadable = TaskExec.objects.create(task_name="t", state="INVALID", error="args: …")
        other = TaskExec.objects.create(task_name="u", state="INVALID")

        self.assertEqual(task_execs.requeue_known(["t"], "v"), 2)

        found = [reload(row).state for row in (unknown, told, unreadable, other)]
        self.assertEqual(found, ["QUEUED", "QUEUED", "INVALID", "INVALID"])
        self.assertEqual((reload(told).error, reload(told).error_type), (None, ""))

    def test_what_has_started_or_ended_is_not_queued_again(self):
        """A worker of 1.x makes all rows of an unknown task INVALID, and changes nothing else."""
        ends = [
            {"started": NOW, "worker_id": 7},
            {"started": NOW, "finished": NOW},
            {"finished": NOW},
        ]
        rows = [TaskExec.objects.create(task_name="t", state="INVALID", **end) for end in ends]

        self.assertEqual(task_execs.requeue_known(["t"], "v"), 0)

        self.assertEqual(states(), ["INVALID"] * len(rows))

    def test_what_was_not_due_sleeps_again(self):
        due = timezone.now() + timedelta(days=1)
        TaskExec.objects.create(task_name="t", state="INVALID", due=due)

        self.assertEqual(task_execs.requeue_known(["t"], "v"), 1)

        self.assertEqual(states(), ["SLEEPING"])


class KnowsTests(SimpleTestCase):
    def knows(self, **fields):
        worker = WorkerStatus(
            timeout=timedelta(hours=1), tasks=["t"], **{"last_tick": NOW, **fields}
        )
        return workers.may_begin([worker], claimed("t"), ",1,3,", NOW)

    def test_only_one_that_takes_the_queue_may_begin_a_call(self):
        self.assertTrue(self.knows(included_queues=["default"]))
        self.assertFalse(self.knows(included_queues=["other"]))
        self.assertFalse(self.knows(excluded_queues=["default"]))

    def test_only_one_whose_code_has_not_tried_may_begin_a_call(self):
        self.assertTrue(self.knows(code_version="2"))
        self.assertFalse(self.knows(code_version="3"))

    def test_only_a_worker_that_beats_knows_a_task(self):
        self.assertTrue(self.knows(last_tick=ago(minutes=59)))
        self.assertFalse(self.knows(last_tick=ago(minutes=61)))
