"""Limits that hold over all workers, with real ones."""

from django_toosimple_q import queues
from django_toosimple_q.models import TaskExec
from tests.acceptance.processes import ProcessTests
from tests.app.tasks import five_a_second, ledger, two_at_once
from tests.support import wait_for


def most_at_once(lines):
    """Return how many of the tasks that wrote these lines ran at the same time."""
    running = most = 0
    for line in lines:
        running += 1 if line.startswith("began") else -1
        most = max(most, running)
    return most


class LimitTests(ProcessTests):
    def test_no_more_run_at_once_than_allowed_and_others_are_not_held_up(self):
        for _ in range(3):
            self.worker("--no_schedules", "--threads=3")
        two_at_once.queue_many([(0.15, self.ledger, str(number)) for number in range(24)])
        others = ledger.queue_many([(self.ledger + "-others", "x")] * 50)

        wait_for(
            lambda: (
                not TaskExec.objects.filter(pk__in=[row.pk for row in others]).exclude(
                    state="SUCCEEDED"
                )
            )
        )
        waiting = TaskExec.objects.filter(task_name="app.two_at_once", state="QUEUED").count()
        self.wait_until_drained(60)

        self.assertEqual(most_at_once(self.lines()), 2)
        self.assertEqual(len(self.lines()), 48)
        self.assertGreater(waiting, 0)

    def test_a_rate_holds_over_all_workers(self):
        five_a_second.queue_many([(self.ledger,)] * 12)
        for _ in range(3):
            self.worker("--no_schedules", "--threads=2", "--tick=30")

        self.wait_until_drained()

        starts = sorted(float(line) for line in self.lines())
        self.assertEqual(len(starts), 12)
        # Between the claim and the first line of the task lie a commit and a thread's turn.
        for first, sixth in zip(starts, starts[5:], strict=False):
            self.assertGreater(sixth - first, 0.8)
        self.assertLess(starts[-1] - starts[0], 10)

    def test_a_paused_queue_stands_still_until_it_is_resumed(self):
        queues.pause("default")
        worker = self.worker("--no_schedules", "--tick=5")
        row = ledger.using(queue="default").queue(self.ledger, "ran")
        other = ledger.using(queue="other").queue(self.ledger, "other")

        self.wait_for_state(other, "SUCCEEDED")
        self.assertEqual(TaskExec.objects.get(pk=row.pk).state, "QUEUED", worker.log())
        queues.resume("default")

        self.wait_for_state(row, "SUCCEEDED")
        self.assertEqual(self.lines(), ["other", "ran"])
