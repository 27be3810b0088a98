"""A supervisor sees its workers die: it settles their rows at once, each by what it was at.

The workers' timeout is far away, so that nothing else can have settled them.
"""

import os
import signal
import time

from django.db import transaction

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ProcessTests, since
from tests.app.hazards import slow_effect
from tests.app.models import Effect
from tests.app.tasks import echo, leave, ledger, segfault, sleep
from tests.faults.sessions import locked_tables
from tests.support import wait_for


class DeathTests(ProcessTests):
    def supervisor(self, *options):
        worker = self.worker(
            "--processes=2", "--no_schedules", "--timeout=600", *options, online=False
        )
        wait_for(lambda: len(self.children()) == 2)
        return worker

    def children(self):
        return list(WorkerStatus.objects.filter(stopped=None, rescued=None).order_by("pk"))

    def wait_for_states(self, rows, state):
        """Wait until the last attempt of each row is in a state."""
        wait_for(lambda: all(self.last_of(row).state == state for row in rows), timeout=30)

    def test_a_quarantined_row_blocks_a_pool_for_moments_only_and_runs_in_the_end(self):
        self.worker("--threads=2", "--no_schedules")
        long = sleep.queue(5, self.ledger, "long")
        wait_for(lambda: "began long" in self.lines())
        with transaction.atomic():
            quarantined = echo.queue("quarantined")
            TaskExec.objects.filter(pk=quarantined.pk).update(
                crash_count=1, exclusive=True, priority=1
            )
        wait_for(lambda: TaskExec.objects.get(pk=quarantined.pk).state != "QUEUED")

        self.wait_for_state(echo.queue("other"), "SUCCEEDED", timeout=4)

        self.assertEqual(TaskExec.objects.get(pk=long.pk).state, "PROCESSING")
        ended = self.wait_for_state(quarantined, "SUCCEEDED", timeout=20)
        self.assertGreaterEqual(ended.started, self.wait_for_state(long, "SUCCEEDED").finished)

    def wait_for_crashes(self, supervisor, count):
        """Wait until the supervisor has told of so many dead processes, and no more."""
        wait_for(lambda: supervisor.log().count("worker process died") >= count)
        self.assertEqual(supervisor.log().count("worker process died"), count)

    def test_what_ran_is_replaced_at_once_and_its_process_too(self):
        supervisor = self.supervisor()
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])
        victim = TaskExec.objects.get(pk=row.pk).worker

        os.kill(victim.pid, signal.SIGKILL)

        old = self.wait_for_state(row, "INTERRUPTED", timeout=5)
        self.assertEqual(old.error, "its worker died: exit code -9 (SIGKILL)")
        self.assertEqual((old.crash_count, old.replaced_by.crash_count), (1, 1))
        wait_for(lambda: "ended a" in self.lines())
        wait_for(lambda: len(self.children()) == 2)
        self.assertNotIn(victim.pid, [child.pid for child in self.children()])
        victim.refresh_from_db()
        self.assertEqual(victim.state, "TIMEDOUT")
        log = supervisor.log()
        self.assertIn(f"worker process died: pid={victim.pid} exit_code=-9", log)
        self.assertIn(
            f"WARNING worker {victim.label} died; task {row.pk} replaced by {old.replaced_by_id}",
            log,
        )

    def test_what_had_ended_and_was_not_stored_runs_again_without_blame(self):
        supervisor = self.supervisor()
        row = sleep.queue(0.5, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])
        victim = TaskExec.objects.get(pk=row.pk).worker
        with locked_tables():
            # Logged once the outcome is kept in memory; the tables are locked.
            wait_for(lambda: f"task finished: task={row.pk} " in supervisor.log())
            os.kill(victim.pid, signal.SIGKILL)

        old = self.wait_for_state(row, "INTERRUPTED")

        self.assertEqual((old.crash_count, old.replaced_by.crash_count), (0, 0))
        self.wait_for_state(old.replaced_by, "SUCCEEDED")
        self.assertEqual(self.lines(), ["began a", "ended a"] * 2)

    def test_what_an_atomic_task_wrote_is_undone_with_its_process(self):
        self.supervisor()
        row = slow_effect.queue(1, self.ledger)
        wait_for(lambda: self.lines() == ["began slow"])
        victim = TaskExec.objects.get(pk=row.pk).worker

        os.kill(victim.pid, signal.SIGKILL)

        self.wait_for_states([row], "SUCCEEDED")
        self.assertEqual(self.lines(), ["began slow", "began slow", "ended slow"])
        self.assertEqual(Effect.objects.count(), 1)

    def test_what_kills_its_worker_three_times_is_failed_and_its_neighbours_are_not_blamed(self):
        supervisor = self.supervisor()
        # With one process busy, the other takes all that follows at once.
        sleep.queue(600, self.ledger, "long")
        wait_for(lambda: self.lines() == ["began long"])
        self.wait_for_states(echo.queue_many([(number,) for number in range(600)]), "SUCCEEDED")
        with transaction.atomic():
            before = ledger.queue_many([(self.ledger, str(number)) for number in range(20)])
            deadly = segfault.queue()
            after = ledger.queue_many([(self.ledger, str(number)) for number in range(20, 40)])

        self.wait_for_states([deadly], "FAILED")

        last = self.last_of(deadly)
        self.assertEqual(last.error, "its worker died 3 times: last exit code -11 (SIGSEGV)")
        self.assertEqual(last.attempt, 3)
        self.wait_for_crashes(supervisor, 3)
        self.wait_for_states([*before, *after], "SUCCEEDED")
        others = TaskExec.objects.exclude(task_name="app.segfault")
        self.assertEqual(set(others.values_list("crash_count", flat=True)), {0})
        # What had not begun waited again as it was: it is on its first attempt.
        self.assertRegex(supervisor.log(), r"released tasks that had not started: count=[1-9]")
        self.assertEqual({self.last_of(row).attempt for row in after}, {1})

    def test_a_task_that_leaves_the_process_with_code_0_has_killed_it(self):
        supervisor = self.supervisor()
        row = leave.queue(0)

        self.wait_for_states([row], "FAILED")

        self.assertEqual(self.last_of(row).error, "its worker died 3 times: last exit code 0")
        self.wait_for_state(echo.queue(1), "SUCCEEDED")
        self.wait_for_crashes(supervisor, 3)

    def test_a_worker_that_does_not_stop_is_killed_and_its_rows_are_replaced_before_the_end(self):
        supervisor = self.supervisor("--grace=0.2")
        row = sleep.queue(60, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])
        victim = TaskExec.objects.get(pk=row.pk).worker
        # It cannot act on a signal that it does not get.
        os.kill(victim.pid, signal.SIGSTOP)
        moment = time.monotonic()

        supervisor.send(signal.SIGTERM)

        self.assertEqual(supervisor.wait(), 77, supervisor.log())
        self.assertLess(since(moment), 0.2 + 2 + 2)
        old = TaskExec.objects.get(pk=row.pk)
        self.assertEqual((old.state, old.replaced_by.state), ("INTERRUPTED", "QUEUED"))
        self.assertEqual(old.error, "its worker died: exit code -9 (SIGKILL)")
        self.assertEqual(self.children(), [])
