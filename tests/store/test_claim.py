from datetime import timedelta

from django.test import TestCase

from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.store import task_execs
from django_toosimple_q.store.task_execs import Claimant
from tests.support import NOW, ago, claim, isolate_registries, make_task, make_worker, reload


def names(claimed):
    return [row.task_name for row in claimed]


class ClaimTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.me = make_worker()

    def waiting(self, name="t", **fields):
        fields = {"task_name": name, "queue": "default", "due": NOW, **fields}
        return TaskExec.objects.create(**fields)

    def test_a_claimed_row_is_processing_mine_and_started(self):
        row = make_task(unique=True).queue(1, b=2)

        [claimed] = claim(self.me)

        stored = reload(row)
        self.assertEqual((stored.state, stored.worker_id), ("PROCESSING", self.me.worker_id))
        self.assertEqual((stored.started, stored.unique_key), (NOW, None))
        self.assertEqual((claimed.pk, claimed.task_name, claimed.attempt), (row.pk, "t", 1))
        self.assertEqual(claimed.arguments(), ([1], {"b": 2}))
        self.assertEqual(claimed.due, row.due)

    def test_a_row_is_claimed_once(self):
        self.waiting()

        self.assertEqual(len(claim(self.me)), 1)
        self.assertEqual(claim(self.me, queues=["default"]), [])

    def test_larger_priority_then_earlier_due_then_id_decide(self):
        self.waiting("fourth", priority=0)
        self.waiting("first", priority=5)
        self.waiting("third", priority=1, due=NOW)
        self.waiting("second", priority=1, due=ago(hours=1))
        self.waiting("fifth", priority=-1, due=ago(days=1))

        order = ["first", "second", "third", "fourth", "fifth"]
        self.assertEqual(names(claim(self.me)), order)

    def test_order_holds_across_queues_and_claims(self):
        self.waiting("c", queue="x", priority=1)
        self.waiting("a", queue="y", priority=3)
        self.waiting("b", queue="x", priority=2)
        self.waiting("d", queue="y", priority=0)

        self.assertEqual(
            [names(claim(self.me, limit=1))[0] for _ in range(4)], ["a", "b", "c", "d"]
        )

    def test_no_more_than_the_limit_are_claimed(self):
        for _ in range(5):
            self.waiting()

        self.assertEqual(len(claim(self.me, limit=3)), 3)
        self.assertEqual(TaskExec.objects.filter(state="QUEUED").count(), 2)

    def test_only_the_named_queues_are_claimed_from(self):
        self.waiting("a", queue="x")
        self.waiting("b", queue="y")

        self.assertEqual(names(claim(self.me, queues=["y", "z"])), ["b"])
        self.assertEqual(names(claim(self.me, queues=[])), [])

    def test_queues_whose_names_differ_in_case_are_two(self):
        self.waiting("a", queue="Mail", due=ago(hours=1))
        self.waiting("b", queue="mail")

        self.assertEqual(
            [bucket.queue for bucket in task_execs.backlog(NOW).buckets], ["Mail", "mail"]
        )
        self.assertEqual(names(claim(self.me, queues=["mail"])), ["b"])
        self.assertEqual(names(claim(self.me, queues=["Mail"])), ["a"])

    def test_a_row_that_bulk_create_left_without_a_queue_is_found(self):
        TaskExec.objects.bulk_create([TaskExec(task_name="a", due=NOW)])
        self.waiting("b", queue="z")

        buckets = task_execs.backlog(NOW).buckets

        self.assertEqual([bucket.queue for bucket in buckets], ["", "z"])
        self.assertEqual(names(claim(self.me, queues=[""])), ["a"])

    def test_skipped_names_are_left(self):
        self.waiting("a")
        self.waiting("b")

        self.assertEqual(names(claim(self.me, skipped_names=["a"])), ["b"])

    def test_an_exclusive_row_is_claimed_by_itself(self):
        self.waiting("a")
        self.waiting("b")
        self.waiting("c", exclusive=True)
        self.waiting("d")
        self.waiting("e", exclusive=True)

        claims = [names(claim(self.me)) for _ in range(5)]

        self.assertEqual(claims, [["a", "b"], ["c"], ["d"], ["e"], []])

    def test_held_and_unique_calls_are_claimed_one_by_one(self):
        for options in ({"on_interruption": "hold"}, {"unique": True}):
            with self.subTest(options=options):
                make_task(**options).queue_many([(1,), (2,)])

                self.assertEqual([len(claim(self.me)) for _ in range(3)], [1, 1, 0])

    def test_a_worker_that_was_declared_dead_claims_nothing(self):
        self.waiting()
        strangers = {
            "rescued": make_worker("rescued", rescued=NOW),
            "stopped": make_worker("stopped", stopped=NOW),
            "another incarnation": Claimant(self.me.worker_id, "other"),
            "deleted": Claimant(10**9, "i"),
        }

        for why, claimant in strangers.items():
            with self.subTest(why=why):
                self.assertEqual(claim(claimant), [])
        self.assertEqual(len(claim(self.me)), 1)

    def test_sleeping_and_finished_rows_are_left(self):
        for state in set(TaskExec.States.values) - {"QUEUED"}:
            self.waiting(state=state)

        self.assertEqual(claim(self.me, queues=["default"]), [])


class LookTests(TestCase):
    def test_it_names_the_queues_that_wait_and_the_next_due(self):
        for queue in ("b", "a", "b", "c"):
            TaskExec.objects.create(task_name="t", queue=queue)
        for minutes in (30, 10, 20):
            TaskExec.objects.create(
                task_name="t", queue="z", state="SLEEPING", due=NOW + timedelta(minutes=minutes)
            )
        TaskExec.objects.create(task_name="t", queue="done", state="SUCCEEDED")

        waiting = task_execs.backlog(NOW)

        self.assertEqual([bucket.queue for bucket in waiting.buckets], ["a", "b", "c"])
        self.assertEqual(waiting.next_due, NOW + timedelta(minutes=10))

    def test_an_empty_table_has_neither(self):
        self.assertEqual(task_execs.backlog(NOW), ([], None, None))

    def test_it_is_one_statement_when_nothing_waits(self):
        with self.assertNumQueries(1):
            task_execs.backlog(NOW)


class WakeTests(TestCase):
    def test_rows_that_are_due_become_queued(self):
        due = TaskExec.objects.create(task_name="t", state="SLEEPING", due=NOW)
        later = TaskExec.objects.create(
            task_name="t", state="SLEEPING", due=NOW + timedelta(microseconds=1)
        )
        failed = TaskExec.objects.create(task_name="t", state="FAILED", due=ago(hours=1))

        self.assertEqual(task_execs.wake(NOW), 1)

        self.assertEqual(
            [reload(row).state for row in (due, later, failed)], ["QUEUED", "SLEEPING", "FAILED"]
        )

    def test_nothing_due_is_nothing_done(self):
        self.assertEqual(task_execs.wake(NOW), 0)


class WorkerStatusStateTests(TestCase):
    def test_the_state_follows_from_what_the_worker_wrote(self):
        from django.utils import timezone

        now = timezone.now()
        cases = {
            "ONLINE": {"last_tick": now},
            "TIMEDOUT": {"last_tick": now - timedelta(hours=2)},
            "STOPPED": {"stopped": now, "exit_code": 0},
            "TERMINATED": {"stopped": now, "exit_code": 77},
            "CRASHED": {"stopped": now, "exit_code": 99},
        }
        for state, fields in cases.items():
            with self.subTest(state=state):
                self.assertEqual(WorkerStatus(label="w", **fields).state, state)
        self.assertEqual(WorkerStatus(last_tick=now, rescued=now).state, "TIMEDOUT")
