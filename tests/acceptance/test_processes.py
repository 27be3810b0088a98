"""Several threads, several processes, and a supervisor that keeps them alive."""

import os
import signal
import time

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ProcessTests, since
from tests.app.tasks import echo, ledger, pid, sleep, suicide
from tests.support import wait_for


class ThreadTests(ProcessTests):
    def test_tasks_run_at_the_same_time(self):
        self.worker("--threads=4", "--no_schedules")
        for number in range(4):
            sleep.queue(1.5, self.ledger, str(number))

        wait_for(lambda: sum(line.startswith("began") for line in self.lines()) == 4)

        self.assertFalse(any(line.startswith("ended") for line in self.lines()))
        self.wait_until_drained()

    def test_each_row_runs_once(self):
        self.worker("--threads=4", "--no_schedules")
        ledger.queue_many([(self.ledger, str(number)) for number in range(300)])

        self.wait_until_drained()

        self.assertEqual(sorted(map(int, self.lines())), list(range(300)))

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

        self.assertIn("TaskTimeout: the task ran over its timeout of 0.5 s", row.error)

    def test_sigterm_cuts_all_of_them_off(self):
        worker = self.worker("--threads=3", "--grace=0.3", "--no_schedules")
        for number in range(3):
            sleep.queue(30, self.ledger, str(number))
        wait_for(lambda: len(self.lines()) == 3)

        worker.send(signal.SIGTERM)

        self.assertEqual(worker.wait(), 77, worker.log())
        states = list(TaskExec.objects.order_by("pk").values_list("state", flat=True))
        self.assertEqual(states, ["INTERRUPTED"] * 3 + ["SLEEPING"] * 3)


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

    def test_a_child_that_dies_is_replaced_and_its_task_runs_elsewhere(self):
        supervisor = self.supervisor()
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])
        victim = TaskExec.objects.get(pk=row.pk).worker

        os.kill(victim.pid, signal.SIGKILL)

        wait_for(lambda: "ended a" in self.lines(), timeout=15)
        wait_for(lambda: victim.pid not in [child.pid for child in self.children()])
        wait_for(lambda: len(self.children()) == 2)
        self.assertIn(f"worker process died: pid={victim.pid} exit_code=-9", supervisor.log())

    def test_what_kills_its_worker_three_times_is_failed(self):
        supervisor = self.supervisor()
        row = suicide.queue()

        wait_for(lambda: self.last_of(row).state == "FAILED", timeout=60)

        self.assertIn("its worker died 3 times", self.last_of(row).error)
        self.assertEqual(supervisor.log().count("worker process died"), 3)
        innocent = echo.queue(1)
        self.wait_for_state(innocent, "SUCCEEDED")

    def test_sigterm_stops_all_children_within_the_grace(self):
        supervisor = self.supervisor("--grace=0.5")
        for number in range(2):
            sleep.queue(30, self.ledger, str(number))
        wait_for(lambda: len(self.lines()) == 2)
        moment = time.monotonic()

        supervisor.send(signal.SIGTERM)

        self.assertEqual(supervisor.wait(), 77, supervisor.log())
        self.assertLess(since(moment), 4)
        self.assertFalse(TaskExec.objects.filter(state="PROCESSING").exists())
        self.assertEqual(self.children(), [])

    def test_sigint_lets_tasks_finish(self):
        supervisor = self.supervisor()
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        supervisor.send(signal.SIGINT)

        self.assertEqual(supervisor.wait(), 0, supervisor.log())
        self.wait_for_state(row, "SUCCEEDED", timeout=1)

    def test_children_stop_when_their_supervisor_is_killed(self):
        supervisor = self.supervisor("--grace=0.2")
        pids = [child.pid for child in self.children()]

        supervisor.send(signal.SIGKILL)
        supervisor.wait()

        wait_for(lambda: not self.children(), timeout=5)
        self.assertEqual(len(pids), 2)

    def test_a_child_is_recycled_after_so_many_tasks(self):
        self.supervisor("--max_tasks=5")
        before = {child.pid for child in self.children()}
        rows = pid.queue_many([(0,)] * 40)

        self.wait_until_drained()

        pids = {TaskExec.objects.get(pk=row.pk).result for row in rows}
        self.assertGreater(len(pids | before), 2)
        self.assertEqual(set(TaskExec.objects.values_list("state", flat=True)), {"SUCCEEDED"})
