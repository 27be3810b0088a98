"""A SECRET_KEY that is changed, with and without its fallback, under rows that wait."""

from django.core.management import call_command
from django.test import SimpleTestCase, TestCase, override_settings
from django.utils import timezone

from django_toosimple_q.exceptions import InvalidArguments
from django_toosimple_q.log.write import Burst
from django_toosimple_q.models import TaskExec
from django_toosimple_q.store import task_execs
from tests.support import isolate_registries, make_task, reload, states


class KeyRotationTests(TestCase):
    def setUp(self):
        isolate_registries(self)
        with override_settings(SECRET_KEY="old"):
            self.rows = make_task().queue_many([(1,), (2,)])

    def drain(self):
        call_command("worker", "--until_done", "--no_schedules")

    def test_with_the_old_key_as_a_fallback_nobody_notices(self):
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
            self.drain()

            self.assertEqual([reload(row).result for row in self.rows], [[(1,), {}], [(2,), {}]])

    def test_without_it_rows_are_invalid_and_say_what_to_do(self):
        with override_settings(SECRET_KEY="new"), self.assertLogs("toosimpleq", "ERROR") as logs:
            self.drain()

        self.assertEqual(states(), ["INVALID"] * 2)
        self.assertIn("put the old one into SECRET_KEY_FALLBACKS", reload(self.rows[0]).error)
        for row, line in zip(self.rows, logs.output, strict=True):
            self.assertIn(f"task={row.pk} ", line)

    def test_of_many_rows_the_first_three_are_reported_and_that_there_are_more(self):
        with override_settings(SECRET_KEY="old"):
            make_task().queue_many([(n,) for n in range(10)])

        for _ in range(2):
            with (
                override_settings(SECRET_KEY="new"),
                self.assertLogs("toosimpleq", "ERROR") as logs,
            ):
                self.drain()
            TaskExec.objects.update(state="QUEUED", error=None, finished=None)

            self.assertEqual(len(logs.output), 4)
            for row, line in zip(TaskExec.objects.order_by("pk"), logs.output[:3], strict=False):
                self.assertIn(f"task={row.pk} ", line)
            self.assertIn("more payloads cannot be opened", logs.output[3])

    def test_once_the_key_is_back_they_are_queued_again_by_hand(self):
        with override_settings(SECRET_KEY="new"):
            self.drain()
            row = TaskExec.objects.get(pk=self.rows[0].pk)
            with self.assertRaisesRegex(InvalidArguments, "SECRET_KEY_FALLBACKS"):
                task_execs.requeue(row, timezone.now())

        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
            again = task_execs.requeue(reload(row), timezone.now())
            self.drain()

            self.assertEqual(reload(again).state, "SUCCEEDED")
            self.assertEqual(reload(row).state, "INVALID")


class BurstTests(SimpleTestCase):
    def test_a_new_while_begins_when_one_is_over(self):
        burst = Burst(60)

        counts = [burst.add(now) for now in (5, 6, 64.9, 65, 66, 500)]

        self.assertEqual(counts, [1, 2, 3, 1, 2, 1])
