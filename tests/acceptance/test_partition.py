"""A network that drops everything, both ways, between a worker and its database."""

import time
from unittest import mock

from django.db import connection
from django.utils import timezone

from django_toosimple_q.models import TaskExec, WorkerStatus
from tests.acceptance.network import Forwarder, Network
from tests.acceptance.processes import ProcessTests, since
from tests.app.hazards import tick_on
from tests.app.tasks import pid, stubborn
from tests.support import wait_for

TIMEOUT = 6
# By then TCP waits for more than twenty seconds before it repeats what was lost.
OUTAGE = 30
BACK_WITHIN = 12


class PartitionTests(ProcessTests):
    def setUp(self):
        super().setUp()
        if connection.vendor == "sqlite":
            self.skipTest("SQLite has no network")
        self.network = Network()
        self.network.set_up()
        self.addCleanup(self.network.tear_down)
        forwarder = Forwarder(self.network.address)
        self.addCleanup(forwarder.close)
        self.reached = {
            "PGHOST": self.network.address,
            "PGPORT": str(forwarder.port),
            "MYSQL_HOST": self.network.address,
            "MYSQL_PORT": str(forwarder.port),
        }

    def worker_inside(self, *options):
        with mock.patch.dict("os.environ", self.reached):
            return self.worker(
                "--no_schedules", f"--timeout={TIMEOUT}", *options, prefix=self.network.prefix
            )

    def worker_outside(self):
        return self.worker("--no_schedules", f"--timeout={TIMEOUT}")

    def beats_of(self, process):
        """Return when the task was seen to run in a process."""
        lines = [line.split() for line in self.lines()]
        return [float(moment) for pid, moment in lines if int(pid) == process]

    def restore(self):
        """Let packets through again; return when."""
        self.network.forward(True)
        return time.monotonic(), timezone.now()

    def wait_until_heard_of(self, worker, moment):
        alive = WorkerStatus.objects.filter(stopped=None, rescued=None, pid=worker.pid)
        wait_for(lambda: alive.filter(last_tick__gt=moment).exists(), timeout=60)

    def test_a_worker_that_is_not_heard_stops_its_tasks_and_is_back_soon(self):
        for options in ([], ["--threads=2"]):
            with self.subTest(options=options):
                self.check_a_worker_that_is_not_heard(*options)
                self.forget_lines()
                self.doCleanups()
                TaskExec.objects.all().delete()
                WorkerStatus.objects.all().delete()
                self.setUp()

    def check_a_worker_that_is_not_heard(self, *options):
        away = self.worker_inside(*options)
        row = tick_on.queue(self.ledger)
        wait_for(lambda: self.beats_of(away.pid))
        other = self.worker_outside()

        self.network.forward(False)
        began = time.monotonic()
        wait_for(lambda: self.beats_of(other.pid), timeout=40)
        wait_for(lambda: since(began) > OUTAGE, timeout=2 * OUTAGE)
        overlap = self.beats_of(away.pid)[-1] - self.beats_of(other.pid)[0]
        self.assertIsNone(away.process.poll(), away.log())
        restored, moment = self.restore()
        self.wait_until_heard_of(away, moment)

        self.assertLess(since(restored), BACK_WITHIN)
        self.assertLess(overlap, 3)
        self.assertIn("other workers may run our tasks", away.log())
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "INTERRUPTED")
        # It works again.
        rows = pid.queue_many([(0.2,)] * 20)
        wait_for(lambda: all(TaskExec.objects.get(pk=one.pk).result for one in rows))
        self.assertIn(away.pid, {TaskExec.objects.get(pk=one.pk).result for one in rows})

    def test_a_task_that_does_not_stop_ends_with_its_process(self):
        away = self.worker_inside()
        stubborn.queue(600, self.ledger, "a")
        wait_for(lambda: self.lines() == ["began a"])

        self.network.forward(False)

        self.assertEqual(away.wait(60), 77, away.log())
        self.assertIn("task does not stop, so its process ends", away.log())

    def test_an_idle_worker_hears_hints_again(self):
        if connection.vendor != "postgresql":
            self.skipTest("the database has no hints")
        away = self.worker_inside("--tick=600")
        began = time.monotonic()
        self.network.forward(False)
        wait_for(lambda: since(began) > 5)
        # What the server sends of it now is what TCP repeats ever later.
        pid.queue()
        wait_for(lambda: since(began) > OUTAGE, timeout=2 * OUTAGE)
        _, moment = self.restore()
        self.wait_until_heard_of(away, moment)

        row = pid.queue()

        self.wait_for_state(row, "SUCCEEDED", timeout=BACK_WITHIN)
