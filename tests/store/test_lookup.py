"""Reading how calls stand, whatever somebody has written into their rows by hand."""

from django.test import TestCase

from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from django_toosimple_q.waiting import Watched
from tests.support import NOW, States


class CircleTests(TestCase):
    """Rows that replace each other have no last attempt."""

    def setUp(self):
        values = {"task_name": "t", "due": NOW, "created": NOW, "state": States.FAILED}
        self.first = TaskExec.objects.create(**values)
        self.second = TaskExec.objects.create(**values, attempt=2, root=self.first)
        for row, other in ((self.first, self.second), (self.second, self.first)):
            TaskExec.objects.filter(pk=row.pk).update(replaced_by=other)

    def test_each_attempt_is_read_once(self):
        found = task_execs.attempts(str(self.first.pk))

        self.assertEqual([row.pk for row in found], [self.first.pk, self.second.pk])

    def test_whoever_waits_for_the_end_waits(self):
        self.assertIsNone(Watched(self.first.pk, timeout=0).poll())
