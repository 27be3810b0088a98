"""The backend that queues, as code that sends mail sees it; what is sent lands in the outbox."""

from unittest import mock, skipUnless

from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, send_mail, send_mass_mail
from django.db import DatabaseError, connection, transaction
from django.test import TestCase, modify_settings, override_settings

from django_toosimple_q.contrib.mail.backend import QueueBackend as UpstreamPath
from django_toosimple_q.contrib.mail.backends import QueueBackend
from django_toosimple_q.contrib.mail.tasks import send_messages
from django_toosimple_q.models import TaskExec
from django_toosimple_q.testing import queued
from tests.contrib.mail import (
    HAS_MAILERS,
    LOCMEM,
    QUEUE,
    Interrupting,
    drain,
    drain_later,
    installed,
    queueing,
    queueing_without_mailers,
    rows,
    subjects,
)


def message(subject="s", to=("you@example.com",), **options):
    return EmailMessage(subject, "body", "me@example.com", list(to), **options)


@installed
class QueueingTests(TestCase):
    def setUp(self):
        override = queueing()
        override.enable()
        self.addCleanup(override.disable)

    def test_mail_goes_out_when_a_worker_runs(self):
        sent = send_mail("s", "body", "me@example.com", ["you@example.com"])
        self.assertEqual((sent, mail.outbox), (1, []))

        drain()

        self.assertEqual(subjects(), ["s"])
        self.assertEqual(rows()[0].result, "1 of 1 sent")

    def test_html_and_attachments_go_out(self):
        html = mail.EmailMultiAlternatives("s", "text", to=["you@example.com"])
        html.attach_alternative("<p>text</p>", "text/html")
        html.attach("a.pdf", b"%PDF", "application/pdf")
        html.send()

        drain()

        self.assertEqual(mail.outbox[0].alternatives[0].content, "<p>text</p>")
        self.assertEqual(mail.outbox[0].attachments[0].content, b"%PDF")

    def test_one_call_is_one_task(self):
        data = [(f"s{n}", "body", None, ["you@example.com"]) for n in range(3)]

        self.assertEqual(send_mass_mail(data), 3)

        self.assertEqual(len(rows()), 1)
        drain()
        self.assertEqual(subjects(), ["s0", "s1", "s2"])

    def test_a_generator_of_messages_is_accepted(self):
        backend = QueueBackend()

        self.assertEqual(backend.send_messages(message(f"s{n}") for n in range(2)), 2)

        self.assertEqual(len(rows()), 1)

    def test_nothing_to_send_queues_nothing(self):
        backend = QueueBackend()

        counts = [backend.send_messages(nothing) for nothing in ([], None, iter(()))]

        self.assertEqual(counts, [0, 0, 0])
        self.assertEqual(rows(), [])

    def test_a_message_without_recipients_is_left_out(self):
        backend = QueueBackend()

        self.assertEqual(backend.send_messages([message(to=[]), message()]), 1)
        self.assertEqual(message(to=[]).send(), 0)

    def test_mail_is_queued_as_plain_data(self):
        send_mail("s", "body", None, ["you@example.com"])

        plain = rows()[0].args[0][0]

        self.assertIs(type(plain), dict)
        self.assertEqual(plain["subject"], "s")

    def test_a_rollback_takes_the_mail_with_it(self):
        with self.assertRaisesMessage(ValueError, "no"), transaction.atomic():
            send_mail("s", "body", None, ["you@example.com"])
            raise ValueError("no")

        self.assertEqual(rows(), [])

    def test_the_very_same_mail_waits_once(self):
        for _ in range(2):
            send_mail("s", "body", None, ["you@example.com"])
        send_mail("other", "body", None, ["you@example.com"])

        drain()

        self.assertEqual(subjects(), ["s", "other"])

    def test_the_same_mail_goes_out_again_after_the_first_went_out(self):
        for _ in range(2):
            send_mail("s", "body", None, ["you@example.com"])
            drain()

        self.assertEqual(subjects(), ["s", "s"])

    def test_injected_headers_are_refused_where_the_caller_sees_it(self):
        with self.assertRaises(ValueError):
            send_mail("s\nBcc: other@example.com", "body", None, ["you@example.com"])

        self.assertEqual(rows(), [])

    def test_the_path_of_the_older_release_is_the_same_backend(self):
        self.assertIs(UpstreamPath, QueueBackend)

    def test_it_serves_as_a_context_manager(self):
        with QueueBackend() as backend:
            backend.send_messages([message()])

        self.assertEqual(len(queued(send_messages)), 1)

    @modify_settings(INSTALLED_APPS={"remove": "django_toosimple_q.contrib.mail"})
    def test_it_refuses_to_work_without_its_app(self):
        with self.assertRaisesMessage(ImproperlyConfigured, "INSTALLED_APPS"):
            QueueBackend()


@installed
class FailSilentlyTests(TestCase):
    def broken(self):
        def refused(*args, **kwargs):
            connection.cursor().execute("SELECT nothing")

        return mock.patch.object(send_messages, "queue", side_effect=refused)

    def test_an_error_of_the_database_is_raised(self):
        with self.broken(), self.assertRaises(DatabaseError), transaction.atomic():
            QueueBackend().send_messages([message()])

    def test_silently_it_is_logged_and_the_transaction_stays_usable(self):
        with self.broken(), self.assertLogs("toosimpleq", "WARNING") as logs:
            count = QueueBackend(fail_silently=True).send_messages([message()])

        self.assertEqual(count, 0)
        self.assertIn("mail not queued: messages=1", logs.output[0])
        self.assertEqual(rows(), [])

    def test_silently_good_mail_is_queued(self):
        self.assertEqual(QueueBackend(fail_silently=True).send_messages([message()]), 1)
        self.assertEqual(len(rows()), 1)

    def test_silently_bad_messages_are_still_refused(self):
        with self.assertRaises(ValueError):
            QueueBackend(fail_silently=True).send_messages([message("a\nb")])


@installed
class InterruptionTests(TestCase):
    def test_what_went_out_before_the_worker_was_stopped_is_not_sent_again(self):
        Interrupting.done = False
        with queueing(sender="tests.contrib.mail.Interrupting"):
            QueueBackend(mailer="sender" if HAS_MAILERS else None).send_messages(
                [message("first"), message("cut off"), message("last")]
            )

            drain()

        self.assertEqual(subjects(), ["first", "cut off", "last"])
        self.assertEqual(rows()[0].result, "1 of 3 sent, the others queued again")

    def test_a_call_of_which_nothing_went_out_is_replaced(self):
        Interrupting.done = False
        with queueing(sender="tests.contrib.mail.Interrupting"):
            QueueBackend(mailer="sender" if HAS_MAILERS else None).send_messages(
                [message("cut off"), message("last")]
            )

            drain()

        self.assertEqual(subjects(), ["cut off", "last"])
        self.assertEqual([row.state for row in rows()], ["INTERRUPTED", "SUCCEEDED"])


@installed
class SettingsOfDjango52Tests(TestCase):
    """EMAIL_BACKEND: the settings of Django 5.2, which 6.1 deprecates and still reads."""

    def test_the_worker_sends_through_the_other_backend_without_a_warning(self):
        with queueing_without_mailers(sender=LOCMEM):
            QueueBackend().send_messages([message()])

            drain()

        self.assertEqual(subjects(), ["s"])

    def test_a_backend_that_queues_again_is_refused_in_the_worker(self):
        with queueing_without_mailers(sender=QUEUE):
            QueueBackend().send_messages([message()])

            drain()

        self.assertIn("queues its own mail for ever", rows()[0].error)

    @skipUnless(not HAS_MAILERS, "Django 6.1 has MAILERS")
    def test_a_mailer_is_refused_where_there_are_none(self):
        with self.assertRaisesMessage(ImproperlyConfigured, "TOOSIMPLEQ_EMAIL_BACKEND"):
            QueueBackend(mailer="smtp")


@skipUnless(HAS_MAILERS, "MAILERS came with Django 6.1")
@installed
class MailersTests(TestCase):
    def mailers(self, **mailers):
        return override_settings(MAILERS=mailers, TOOSIMPLEQ_EMAIL_BACKEND=LOCMEM)

    def test_the_option_names_the_mailer_that_sends(self):
        queue = {"BACKEND": QUEUE, "OPTIONS": {"mailer": "other"}}
        with self.mailers(default=queue, other={"BACKEND": LOCMEM}, third={"BACKEND": LOCMEM}):
            message().send()

            drain()

        self.assertEqual(mail.outbox[0].sent_using, "other")

    def test_without_the_option_the_setting_names_the_backend(self):
        with self.mailers(default={"BACKEND": QUEUE}):
            message().send()

            drain()

        self.assertEqual(subjects(), ["s"])

    def test_mailers_are_chosen_by_the_sending_code(self):
        queue = {"BACKEND": QUEUE, "OPTIONS": {"mailer": "other"}}
        with self.mailers(default={"BACKEND": LOCMEM}, queue=queue, other={"BACKEND": LOCMEM}):
            message("queued").send(using="queue")
            message("direct").send()
            drain()

        self.assertEqual(subjects(), ["direct", "queued"])

    def test_an_unknown_option_is_an_invalid_mailer(self):
        with (
            self.mailers(default={"BACKEND": QUEUE, "OPTIONS": {"host": "mail.example.com"}}),
            self.assertRaisesMessage(mail.InvalidMailer, "Unknown options 'host'"),
        ):
            message().send()

    def test_a_mailer_that_names_itself_is_refused(self):
        with (
            self.mailers(default={"BACKEND": QUEUE, "OPTIONS": {"mailer": "default"}}),
            self.assertRaisesMessage(ImproperlyConfigured, "Name another alias"),
        ):
            message().send()

    def test_a_mailer_that_queues_again_is_refused_in_the_worker(self):
        with self.mailers(
            default={"BACKEND": QUEUE, "OPTIONS": {"mailer": "other"}},
            other={"BACKEND": QUEUE},
        ):
            message().send()

            drain()

        self.assertIn("queues its own mail for ever", rows()[0].error)

    def test_a_mailer_that_is_gone_is_tried_again(self):
        with self.mailers(default={"BACKEND": QUEUE, "OPTIONS": {"mailer": "other"}}):
            message().send()
            drain()
        self.assertIn("MailerDoesNotExist", rows()[0].error)

        with self.mailers(default={"BACKEND": QUEUE}, other={"BACKEND": LOCMEM}):
            drain_later()

        self.assertEqual(subjects(), ["s"])

    def test_options_may_fail_silently(self):
        options = {"mailer": "other", "fail_silently": True}
        with self.mailers(
            default={"BACKEND": QUEUE, "OPTIONS": options}, other={"BACKEND": LOCMEM}
        ):
            self.assertTrue(mail.mailers.default.fail_silently)
            message().send()

        self.assertEqual(TaskExec.objects.count(), 1)
