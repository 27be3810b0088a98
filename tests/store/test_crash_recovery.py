"""What is known of a dead worker's rows decides what becomes of each."""

from django.test import TestCase

from django_toosimple_q.models import TaskExec, WorkerStatus
from django_toosimple_q.store import task_execs, workers
from tests.support import NOW, claim, isolate_registries, make_task, make_worker, reload, states

HOW = "exit code -9 (SIGKILL)"


class CrashRecoveryTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.dead = make_worker("dead", incarnation="d")
        self.task = make_task()

    def claimed(self, count):
        self.task.queue_many([(number,) for number in range(count)])
        return claim(self.dead)

    def recover(self, running=(), ended=(), dead=None):
        pks = [[one.pk for one in rows] if rows is not None else None for rows in (running, ended)]
        return task_execs.recover(dead or self.dead, *pks, HOW, NOW)

    def test_each_row_is_treated_by_what_is_known_of_it(self):
        running, ended, waiting = self.claimed(3)

        recovery = self.recover([running], [ended])

        self.assertEqual((recovery.label, recovery.released, recovery.locked), ("dead", 1, 0))
        self.assertEqual([one.task_id for one in recovery.rescued], [ended.pk, running.pk])
        for row, crash_count in ((running, 1), (ended, 0)):
            old = reload(row)
            self.assertEqual((old.state, old.error), ("INTERRUPTED", f"its worker died: {HOW}"))
            new = old.replaced_by
            self.assertEqual(
                (new.state, new.crash_count, new.exclusive),
                ("QUEUED", crash_count, crash_count > 0),
            )
        row = reload(waiting)
        self.assertEqual((row.state, row.worker_id, row.crash_count), ("QUEUED", None, 0))
        self.assertFalse(row.exclusive)

    def test_the_worker_is_declared_dead_by_it(self):
        self.recover()

        self.assertEqual(WorkerStatus.objects.get(label="dead").rescued, NOW)
        self.task.queue()
        self.assertEqual(claim(self.dead), [])

    def test_a_worker_that_recorded_its_crash_is_recovered_too(self):
        [row] = self.claimed(1)
        workers.stop(*self.dead, 99, "boom", NOW)

        self.assertEqual(self.recover().released, 1)
        self.assertEqual(reload(row).state, "QUEUED")
        self.assertIsNone(WorkerStatus.objects.get(label="dead").rescued)

    def test_a_row_that_somebody_else_has_rescued_is_left(self):
        running, _ = self.claimed(2)
        workers.declare_gone(WorkerStatus.objects.get(label="dead"), NOW)
        task_execs.rescue(NOW)
        before = states()

        recovery = self.recover([running])

        self.assertEqual(recovery[1:], ([], 0, 0))
        self.assertEqual(states(), before)

    def test_rows_of_a_later_worker_under_the_same_label_are_left(self):
        [row] = self.claimed(1)

        recovery = self.recover([row], dead=self.dead._replace(incarnation="before"))

        self.assertEqual(recovery, ("", [], 0, 0))
        self.assertEqual(reload(row).state, "PROCESSING")

    def test_where_not_all_that_began_is_known_each_may_have_run(self):
        running, ended = self.claimed(2)

        self.recover(running=None, ended=[ended])

        self.assertEqual(reload(running).replaced_by.crash_count, 1)
        self.assertEqual(reload(ended).replaced_by.crash_count, 0)

    def test_a_unique_row_that_had_not_begun_merges_into_one_that_waits(self):
        task = make_task("unique", unique=True)
        task.queue()
        [claimed] = claim(self.dead)
        waiting = task.queue()

        self.assertEqual(self.recover().released, 1)

        self.assertEqual(reload(claimed).replaced_by_id, waiting.pk)
        self.assertEqual((reload(waiting).crash_count, TaskExec.objects.count()), (0, 2))

    def test_the_third_crash_says_how_the_last_one_was(self):
        [row] = self.claimed(1)
        TaskExec.objects.update(crash_count=2)

        self.recover([row])

        old = reload(row)
        self.assertEqual((old.state, old.replaced_by), ("FAILED", None))
        self.assertEqual(old.error, f"its worker died 3 times: last {HOW}")
