"""What a worker claims on the measure of quick tasks does not wait behind long ones."""

from collections import Counter

from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import echo, sleep
from tests.support import wait_for

QUICK, LONG = 600, 40
SECONDS = 0.15


class BatchTests(ProcessTests):
    def quick_then_long(self):
        """Let one worker run quick tasks, then find long ones."""
        echo.queue_many([(number,) for number in range(QUICK)])
        self.wait_until_drained()
        sleep.queue_many([(SECONDS,)] * LONG)

    def test_two_workers_share_long_tasks_that_one_of_them_claimed(self):
        self.worker("--label=first")
        echo.queue_many([(number,) for number in range(QUICK)])
        self.wait_until_drained()
        self.worker("--label=second")

        sleep.queue_many([(SECONDS,)] * LONG)
        self.wait_until_drained()

        long = TaskExec.objects.filter(task_name="app.sleep")
        shares = Counter(long.values_list("worker__label", flat=True))
        self.assertGreater(min(shares["first"], shares["second"]), LONG // 4, shares)
        self.assertEqual(set(long.values_list("attempt", "state")), {(1, "SUCCEEDED")})

    def test_an_urgent_call_starts_next(self):
        self.worker("--label=first")
        self.quick_then_long()
        wait_for(TaskExec.objects.filter(task_name="app.sleep", state="SUCCEEDED").exists)

        urgent = echo.using(priority=10).queue()
        urgent = self.wait_for_state(urgent, "SUCCEEDED")

        long = TaskExec.objects.filter(task_name="app.sleep")
        before = long.filter(started__gt=urgent.created, started__lt=urgent.started)
        self.assertLessEqual(before.count(), 2)
        self.assertTrue(long.filter(state="QUEUED").exists())
