"""An idle worker starts at once what others put into the queue, whichever way it came there.

Its tick is far away: what nothing announces waits for half a minute.
"""

import os
import signal
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from django_toosimple_q.decorators import schedule_task
from django_toosimple_q.models import ScheduleExec, TaskExec
from django_toosimple_q.registry import schedules_registry
from django_toosimple_q.worker.scheduler import Scheduler
from tests.acceptance.processes import ProcessTests
from tests.admin.pages import list_url
from tests.app.tasks import echo, fail_on_go, ledger, sleep
from tests.faults.sessions import wait_until_idle
from tests.faults.world import Member
from tests.support import isolate_registries, wait_for

TICK = 30
# Far from the tick, and more than any load takes.
SOON = timedelta(seconds=TICK / 2)

pushed = pytest.mark.skipif(
    connection.vendor == "mysql", reason="MariaDB has no push of its own; Redis does it"
)


class WakeUpTests(ProcessTests):
    def new_worker(self, *options):
        return self.worker("--no_schedules", f"--tick={TICK}", "--timeout=600", *options)

    def idle_worker(self, *options):
        worker = self.new_worker(*options)
        wait_until_idle()
        return worker

    def assert_started_soon(self, row):
        row = self.wait_for_state(row, "PROCESSING", "SUCCEEDED", timeout=TICK + 20)
        self.assertLess(row.started - row.created, SOON)

    def schedule(self):
        isolate_registries(self)
        schedule_task(name="hourly", cron="0 * * * *")(echo)
        scheduler = Scheduler([schedules_registry["hourly"]])
        # An occurrence has passed since.
        scheduler.sync(timezone.now() - timedelta(hours=1))
        return scheduler

    @pushed
    def test_a_call(self):
        self.idle_worker()

        self.assert_started_soon(echo.queue())

    @pushed
    def test_an_occurrence_that_another_worker_queues(self):
        self.idle_worker()
        scheduler = self.schedule()

        self.assertEqual(scheduler.run_once(timezone.now()), 1)

        self.assert_started_soon(TaskExec.objects.get())

    @pushed
    def test_a_schedule_that_is_run_by_hand_in_the_admin(self):
        self.idle_worker()
        self.schedule()
        self.client.force_login(User.objects.create_superuser("admin"))
        row = ScheduleExec.objects.get()

        form = {"action": "action_force_run", "index": "0", "_selected_action": [row.pk]}
        self.client.post(list_url(ScheduleExec), form)

        self.assert_started_soon(TaskExec.objects.get())

    @pushed
    def test_the_replacement_of_a_killed_worker_s_task(self):
        victim = self.new_worker()
        row = sleep.queue(600, self.ledger, "long")
        wait_for(lambda: "began long" in self.lines())
        self.idle_worker()
        rescuer = Member("rescuer")
        self.addCleanup(rescuer.worker.wakeup.close)

        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        rescuer.worker.enter()

        self.assert_started_soon(self.last_of(self.wait_for_state(row, "INTERRUPTED")))

    def test_the_replacement_of_a_killed_worker_s_task_is_started_by_the_one_who_made_it(self):
        # Without a push, only what is there when it starts is found before the tick.
        row = sleep.queue(600, self.ledger, "long")
        victim = self.new_worker()
        wait_for(lambda: "began long" in self.lines())
        self.idle_worker("--timeout=2")

        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()

        self.assert_started_soon(self.last_of(self.wait_for_state(row, "INTERRUPTED")))

    @pushed
    def test_the_replacement_that_a_worker_leaves_which_is_stopped(self):
        stopped = self.new_worker("--grace=0")
        row = sleep.queue(600, self.ledger, "long")
        wait_for(lambda: "began long" in self.lines())
        self.idle_worker()

        stopped.send(signal.SIGTERM)
        stopped.wait()

        self.assert_started_soon(self.last_of(self.wait_for_state(row, "INTERRUPTED")))

    @pushed
    def test_the_retry_that_a_worker_leaves_which_has_run_enough(self):
        worker = self.new_worker("--max_tasks=1")
        row = fail_on_go.queue(self.ledger)
        wait_for(lambda: self.lines() == ["began"])
        self.idle_worker()

        ledger(self.ledger, "go")
        self.assertEqual(worker.wait(), 0)

        self.assert_started_soon(self.last_of(self.wait_for_state(row, "FAILED")))
