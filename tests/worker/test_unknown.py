"""What is told of names that no task is registered under."""

from django.test import TransactionTestCase
from django.utils import timezone

from django_toosimple_q.models import TaskExec
from tests.faults.world import Member
from tests.support import isolate_registries, make_worker, states


class UnknownNameTests(TransactionTestCase):
    def setUp(self):
        isolate_registries(self)
        self.member = Member("w")
        for _ in range(5):
            TaskExec.objects.create(task_name="newer")

    def told(self):
        """Return the warnings of a worker that comes by three times."""
        with self.assertLogs("toosimpleq", "WARNING") as logs:
            for _ in range(3):
                while self.member.step():
                    pass
                self.member.beat()
        return logs.output

    def test_one_that_nobody_knows_is_reported_once_for_all_its_rows(self):
        [line] = self.told()

        self.assertIn("no task is registered under the name 'newer'", line)
        self.assertEqual(states(), ["INVALID"] * 5)

    def test_one_that_another_worker_knows_is_reported_once_however_often_it_comes_by(self):
        make_worker("other", now=timezone.now(), tasks=["newer"])

        [line] = self.told()

        self.assertIn("left to a worker that knows it", line)
        self.assertEqual(states(), ["QUEUED"] * 5)
