"""A SECRET_KEY that is changed, with and without its fallback, under rows that wait."""

from django.core.management import call_command
from django.test import TestCase, override_settings
from django.utils import timezone

from django_toosimple_q.exceptions import InvalidArguments
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
