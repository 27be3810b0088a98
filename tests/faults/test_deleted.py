"""Somebody deletes the rows of workers that live, or of ones that are gone."""

import signal

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import echo, sleep
from tests.support import wait_for


class DeletedWorkerTests(ProcessTests):
    def test_one_that_lives_is_back_and_keeps_what_it_runs(self):
        worker = self.worker("--label=w", "--no_schedules", "--timeout=2")
        self.worker("--label=other", "--no_schedules", "--timeout=2")
        row = sleep.using(priority=1).queue(5, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])
        owner = TaskExec.objects.get(pk=row.pk).worker

        WorkerStatus.objects.get(pk=owner.pk).delete()

        back = wait_for(lambda: WorkerStatus.objects.filter(label=owner.label).first())
        self.assertEqual((back.pk, back.incarnation), (owner.pk, owner.incarnation))
        row = self.wait_for_state(row, "SUCCEEDED")
        self.assertEqual((row.attempt, row.worker_id), (1, owner.pk))
        self.assertEqual(self.lines(), ["began a", "ended a"])
        self.wait_for_state(echo.queue(1), "SUCCEEDED")
        self.assertIsNone(worker.process.poll(), worker.log())

    def test_what_one_held_that_is_gone_runs_elsewhere(self):
        first = self.worker("--no_schedules", "--timeout=2")
        row = sleep.queue(1, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])
        first.send(signal.SIGKILL)
        first.wait()

        WorkerStatus.objects.all().delete()
        self.worker("--no_schedules", "--timeout=2")

        wait_for(lambda: self.last_of(row).state == "SUCCEEDED")
        self.assertEqual(self.last_of(row).attempt, 2)
        self.assertEqual(TaskExec.objects.get(pk=row.pk).error, "its worker's row is gone")
