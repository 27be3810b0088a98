from io import StringIO
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import TestCase

from django_toosimple_q import queues
from django_toosimple_q.exceptions import InvalidDefinition
from django_toosimple_q.models import QueueStatus
from django_toosimple_q.overview import now
from django_toosimple_q.store import overview, task_execs
from django_toosimple_q.store import queues as store
from django_toosimple_q.store.task_execs import Bucket
from django_toosimple_q.testing import run_queued
from django_toosimple_q.wakeups import WORK
from tests.support import NOW, claim, hints, isolate_registries, make_task, make_worker, reload


class QueuesTestCase(TestCase):
    def setUp(self):
        isolate_registries(self)
        self.mail = make_task("send", queue="mail")
        self.work = make_task("work")


class PauseTests(QueuesTestCase):
    def test_nothing_of_a_paused_queue_is_claimed(self):
        held, done = self.mail.queue(), self.work.queue()

        self.assertTrue(queues.pause("mail"))
        run_queued()

        self.assertEqual(task_execs.backlog(NOW).buckets, [])
        self.assertEqual((reload(held).state, reload(done).state), ("QUEUED", "SUCCEEDED"))

    def test_a_queue_whose_name_differs_in_case_is_not_paused(self):
        make_task("post", queue="Mail").queue()
        self.mail.queue()
        queues.pause("Mail")
        queues.resume("Mail")

        queues.pause("mail")

        self.assertEqual(task_execs.backlog(NOW).buckets, [Bucket("Mail")])

    def test_it_goes_on_where_it_was(self):
        row = self.mail.queue()
        queues.pause("mail")
        run_queued()

        self.assertTrue(queues.resume("mail"))
        run_queued()

        self.assertEqual(reload(row).state, "SUCCEEDED")

    def test_resuming_it_wakes_the_workers(self):
        queues.pause("mail")

        with hints() as sent:
            queues.resume("mail")

        self.assertEqual(sent, [WORK])

    def test_limited_calls_of_the_queue_are_paused_too(self):
        make_task("few", queue="mail", max_running=3).queue()
        queues.pause("mail")

        self.assertEqual(claim(make_worker()), [])

    def test_sleeping_rows_become_due_meanwhile(self):
        self.mail.queue(due=NOW)
        queues.pause("mail")
        task_execs.wake(NOW)
        self.assertEqual(task_execs.backlog(NOW).buckets, [])

        queues.resume("mail")

        self.assertEqual(task_execs.backlog(NOW).buckets, [Bucket("mail")])

    def test_twice_is_as_good_as_once(self):
        self.assertTrue(queues.pause("mail"))
        since = queues.paused()["mail"]
        self.assertFalse(queues.pause("mail"))
        self.assertEqual(queues.paused(), {"mail": since})
        self.assertTrue(queues.resume("mail"))
        self.assertFalse(queues.resume("mail"))
        self.assertFalse(queues.resume("never heard of"))
        self.assertEqual(queues.paused(), {})

    def test_what_is_no_name_is_refused(self):
        for wrong in ("", None, "x" * 256, "a\0"):
            with self.subTest(wrong), self.assertRaises(InvalidDefinition):
                queues.pause(wrong)

    def test_a_worker_notes_the_queues_of_its_tasks(self):
        queues.pause("mail")

        run_queued()
        run_queued()

        self.assertEqual([row.name for row in store.known()], ["default", "mail"])
        self.assertEqual(list(queues.paused()), ["mail"])


class CommandTests(QueuesTestCase):
    def call(self, *args):
        out = StringIO()
        call_command("queues", *args, stdout=out)
        return out.getvalue()

    def test_it_lists_queues_with_what_waits_and_runs(self):
        self.mail.queue_many([1, 2, 3])
        self.work.queue()
        claim(make_worker(), limit=1, queues=["mail"])
        queues.pause("mail")

        self.assertRegex(
            self.call(),
            r"default  1 waiting, oldest [\d.]+ s, 0 running, no worker\n"
            r"mail     2 waiting, oldest [\d.]+ s, 1 running, paused since \d{4}-\d\d-\d\d \d\d:",
        )

    def test_it_counts_no_further_than_a_bound(self):
        self.work.queue_many([1, 2, 3])

        with (
            mock.patch.object(store, "WAITING_COUNTED", 2),
            mock.patch.object(overview, "WAITING_COUNTED", 2),
            mock.patch.object(now, "WAITING_COUNTED", 2),
        ):
            self.assertIn("2+ waiting", self.call())

    def test_it_pauses_and_resumes(self):
        self.assertEqual(
            self.call("pause", "mail", "default"), "mail is paused.\ndefault is paused.\n"
        )
        self.assertEqual(self.call("pause", "mail"), "mail was already paused.\n")
        self.assertEqual(sorted(queues.paused()), ["default", "mail"])
        self.assertEqual(self.call("resume", "mail"), "mail is no longer paused.\n")
        self.assertEqual(self.call("resume", "mail"), "mail was not paused.\n")

    def test_a_queue_that_does_not_exist_is_refused_before_any_is_paused(self):
        with self.assertRaisesRegex(CommandError, "no queue 'mial'. Did you mean 'mail'"):
            call_command("queues", "pause", "default", "mial")

        self.assertEqual(QueueStatus.objects.count(), 0)

    def test_a_queue_that_only_rows_name_is_known(self):
        self.work.using(queue="attic").queue()

        self.assertEqual(self.call("pause", "attic"), "attic is paused.\n")

    def test_it_needs_a_name(self):
        with self.assertRaisesRegex(CommandError, "pause needs the name of a queue"):
            call_command("queues", "pause")
