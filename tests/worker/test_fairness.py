"""Nobody keeps the queue to himself."""

from django.core.management import call_command
from django.test import TestCase

from django_toosimple_q.registry import tasks_registry
from tests.support import isolate_registries, make_task


class FairnessTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.ran = []

    def again(self):
        self.ran.append("again")
        tasks_registry["again"].queue()

    def test_a_task_that_queues_itself_without_end_lets_others_have_their_turn(self):
        make_task("again", lambda: self.again()).queue()
        make_task("other", lambda: self.ran.append("other")).queue_many([(), ()])

        for _ in range(5):
            call_command("worker", "--once")

        self.assertEqual(self.ran, ["again", "other", "other", "again", "again"])
