"""Several threads, several processes, and a supervisor that keeps them alive."""

import signal
import time
from unittest import mock

import pytest
from django.db import connection

from django_toosimple_q.models import ScheduleExec, TaskExec, WorkerStatus
from tests.acceptance.processes import ProcessTests, since
from tests.app.hazards import SMAPS, hoard, memory_after_a_collection
from tests.app.tasks import deaf, echo, effect, ledger, pid, sleep, stubborn
from tests.support import wait_for


class ThreadTests(ProcessTests):
    def test_tasks_run_at_the_same_time(self):
        self.worker("--threads=4", "--no_schedules")
        for number in range(4):
            sleep.queue(600, self.ledger, str(number))

        wait_for(lambda: sum(line.startswith("began") for line in self.lines()) == 4)

    def test_each_row_runs_once(self):
        self.worker("--threads=4", "--no_schedules")
        ledger.queue_many([(self.ledger, str(number)) for number in range(300)])

        self.wait_until_drained()

        self.assertEqual(sorted(map(int, self.lines())), list(range(300)))

    def test_a_pool_too_small_for_its_threads_does_not_keep_them_waiting(self):
        if connection.vendor != "postgresql":
            self.skipTest("only psycopg has pools")
        pytest.importorskip("psycopg_pool")
        with mock.patch.dict("os.environ", TOOSIMPLEQ_TEST_POOL="on"):
            self.worker("--threads=4", "--no_schedules")

        for row in effect.queue_many(list("abcd")):
            self.wait_for_state(row, "SUCCEEDED", timeout=10)

    def test_outcomes_are_written_while_another_task_runs_long(self):
        self.worker("--threads=2", "--no_schedules")
        sleep.queue(10, self.ledger, "long")
        wait_for(lambda: self.lines() == ["began long"])

        row = echo.queue(1)

        self.wait_for_state(row, "SUCCEEDED", timeout=5)

    def test_a_task_over_its_timeout_is_stopped_in_a_thread_too(self):
        self.worker("--threads=2", "--no_schedules")
        row = sleep.queue(30, self.ledger, "a")
        TaskExec.objects.filter(pk=row.pk).delete()
        row.timeout = 0.5
        row.pk = None
        row._state.adding = True
        row.save()

        row = self.wait_for_state(row, "FAILED", timeout=5)

        self.assertIn("TaskTimeout: the task exceeded its timeout of 0.5 s", row.error)

    def test_sigterm_cuts_all_of_them_off(self):
        worker = self.worker("--threads=3", "--grace=0.3", "--no_schedules")
        for number in range(3):
            sleep.queue(30, self.ledger, str(number))
        wait_for(lambda: len(self.lines()) == 3)

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 77, worker.log())
        states = list(TaskExec.objects.order_by("pk").values_list("state", flat=True))
        self.assertEqual(states, ["INTERRUPTED"] * 3 + ["QUEUED"] * 3)


class SupervisorTests(ProcessTests):
    def supervisor(self, *options):
        worker = self.worker("--processes=2", "--no_schedules", *options, online=False)
        wait_for(lambda: len(self.children()) == 2)
        return worker

    def children(self):
        return list(WorkerStatus.objects.filter(stopped=None, rescued=None).order_by("pk"))

    def test_tasks_run_in_several_processes(self):
        self.supervisor()
        rows = pid.queue_many([(0.2,)] * 10)
        self.wait_until_drained()

        pids = {TaskExec.objects.get(pk=row.pk).result for row in rows}
        self.assertEqual(pids, {child.pid for child in self.children()})

    def assert_cut_off(self, rows):
        """Check that the rows were replaced by their own workers, which said how they ended."""
        for row in rows:
            row.refresh_from_db()
            self.assertEqual((row.state, row.replaced_by.state), ("INTERRUPTED", "QUEUED"))
        ends = WorkerStatus.objects.order_by("pk").values_list("exit_code", "exit_log")
        for code, log in ends:
            self.assertEqual(code, 77)
            self.assertIn("KeyboardInterrupt", log)
        self.assertEqual(len(ends), 2)

    def test_sigterm_stops_all_children_within_the_grace_whatever_they_are_at(self):
        supervisor = self.supervisor("--grace=0.5")
        rows = [stubborn.queue(60, self.ledger), deaf.queue(self.ledger)]
        wait_for(lambda: len(self.lines()) == 2)
        moment = time.monotonic()

        supervisor.send(signal.SIGTERM)

        self.assertEqual(supervisor.wait(), 77, supervisor.log())
        self.assertLess(since(moment), 0.5 + 2)
        self.assert_cut_off(rows)

    def test_a_second_sigint_cuts_all_of_them_off(self):
        supervisor = self.supervisor("--grace=60")
        rows = [sleep.queue(60, self.ledger, str(number)) for number in range(2)]
        wait_for(lambda: len(self.lines()) == 2)
        supervisor.send(signal.SIGINT)
        wait_for(lambda: supervisor.log().count("worker stopping") == 2)
        moment = time.monotonic()

        supervisor.send(signal.SIGINT)

        self.assertEqual(supervisor.wait(), 77, supervisor.log())
        self.assertLess(since(moment), 2)
        self.assert_cut_off(rows)

    def test_sigint_lets_tasks_finish(self):
        supervisor = self.supervisor()
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        supervisor.send(signal.SIGINT)

        self.assertEqual(supervisor.wait(), 0, supervisor.log())
        self.wait_for_state(row, "SUCCEEDED", timeout=1)

    def test_children_stop_when_their_supervisor_is_killed(self):
        supervisor = self.supervisor("--grace=0.5")
        rows = [sleep.queue(60, self.ledger, str(number)) for number in range(2)]
        wait_for(lambda: len(self.lines()) == 2)

        supervisor.send(signal.SIGKILL)

        wait_for(lambda: supervisor.log().count("worker stopping") == 2, timeout=1)
        wait_for(lambda: not self.children(), timeout=0.5 + 2)
        self.assert_cut_off(rows)
        codes = WorkerStatus.objects.values_list("exit_code", flat=True)
        self.assertEqual(list(codes), [77, 77])

    @pytest.mark.skipif(not SMAPS.exists(), reason="only Linux says what processes share")
    def test_children_share_the_memory_of_what_was_imported_before(self):
        self.supervisor()

        row = self.wait_for_state(memory_after_a_collection.queue(), "SUCCEEDED")

        self.assertGreater(row.result["Shared_Dirty"], row.result["Private_Dirty"])

    def test_a_child_is_recycled_after_so_many_tasks(self):
        self.supervisor("--max_tasks=5")
        before = {child.pid for child in self.children()}
        rows = pid.queue_many([(0,)] * 40)

        self.wait_until_drained()

        pids = {TaskExec.objects.get(pk=row.pk).result for row in rows}
        self.assertGreater(len(pids | before), 2)
        self.assertEqual(set(TaskExec.objects.values_list("state", flat=True)), {"SUCCEEDED"})

    def test_a_child_that_grew_too_large_is_recycled_between_two_tasks(self):
        supervisor = self.supervisor("--max_memory=250")
        before = {child.pid for child in self.children()}
        rows = [hoard.queue(300), *pid.queue_many([(0,)] * 20)]

        self.wait_until_drained()

        states = set(TaskExec.objects.values_list("state", flat=True))
        self.assertEqual((states, TaskExec.objects.count()), ({"SUCCEEDED"}, len(rows)))
        large = TaskExec.objects.get(pk=rows[0].pk).result
        self.assertIn(large, before)
        wait_for(lambda: len({child.pid for child in self.children()} - {large}) == 2)
        self.assertIn("reason=--max_memory=250", supervisor.log())
        self.assertNotIn("worker process died", supervisor.log())

    def test_ten_workers_start_at_once_on_an_empty_database(self):
        supervisor = self.worker("--label=w", "--processes=10", online=False)
        wait_for(lambda: supervisor.log().count("worker started") == 10)

        labels = {child.label for child in self.children()}
        self.assertEqual(labels, {f"w-{number}" for number in range(1, 11)})
        wait_for(lambda: TaskExec.objects.filter(state="SUCCEEDED").exists())
        self.assertEqual(ScheduleExec.objects.count(), 1)
        self.assertNotRegex(supervisor.log(), "ERROR|CRITICAL|Traceback")
