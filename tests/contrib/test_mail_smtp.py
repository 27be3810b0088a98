"""Against a real SMTP server: it accepts, refuses for now, refuses for good, and hangs up."""

import logging

from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mass_mail
from django.test import TestCase

from django_toosimple_q.contrib.mail.tasks import LONGEST_RETRY_DELAY_SECONDS, RETRIES
from django_toosimple_q.models import TaskExec
from tests.contrib.mail import (
    SMTP,
    MailServer,
    drain,
    drain_later,
    free_port,
    installed,
    queueing,
    queueing_without_mailers,
    rows,
    without_deprecations,
)


def send(*recipients, subject="s", **options):
    return EmailMessage(subject, "body", "me@example.com", list(recipients), **options).send()


def send_to_each(*recipients):
    data = [(f"to {name}", "body", "me@example.com", [name]) for name in recipients]
    return send_mass_mail(data)


def waiting():
    """Return the recipients of each waiting task."""
    waiting = TaskExec.objects.filter(state__in=["SLEEPING", "QUEUED"]).order_by("pk")
    return [[one["to"] for one in messages_of(row)] for row in waiting]


def messages_of(row):
    return row.args[0] if row.args else row.kwargs["messages"]


@installed
class SMTPTests(TestCase):
    def setUp(self):
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        self.server = self.enterContext(MailServer())
        self.options = self.server.options
        override = queueing(sender=SMTP, options=self.options)
        override.enable()
        self.addCleanup(override.disable)

    def test_mail_arrives_with_its_envelope(self):
        html = EmailMultiAlternatives(
            "Grüße", "Text", "me@example.com", ["a@example.com"], bcc=["b@example.com"]
        )
        html.attach_alternative("<p>Text</p>", "text/html")
        html.attach("a.bin", b"\x00\xff", "application/octet-stream")
        html.send()

        drain()

        [message] = self.server.messages
        self.assertEqual(message["Subject"], "Grüße")
        self.assertEqual(message.envelope.mail_from, "me@example.com")
        self.assertEqual(message.envelope.rcpt_tos, ["a@example.com", "b@example.com"])
        self.assertEqual(message.get_body(("html",)).get_content().strip(), "<p>Text</p>")
        self.assertEqual([part.get_content() for part in message.iter_attachments()], [b"\x00\xff"])

    def test_messages_of_one_call_share_a_connection(self):
        send_to_each("a@example.com", "b@example.com", "c@example.com")

        drain()

        self.assertEqual(len(self.server.messages), 3)
        self.assertEqual(self.server.connections, 1)

    def test_a_passing_refusal_is_tried_again_as_the_same_message(self):
        self.server.data_replies["a@example.com"] = ["451 try later"]
        send("a@example.com")
        drain()
        [first, second] = rows()
        self.assertEqual((first.state, second.state), ("FAILED", "SLEEPING"))
        self.assertIn("try later", first.error)
        self.assertEqual(first.replaced_by, second)

        drain_later()

        [message] = self.server.messages
        self.assertEqual(message["Message-ID"], messages_of(first)[0]["stamp"]["Message-ID"])

    def test_retries_wait_longer_each_time_and_an_hour_at_most(self):
        self.server.replies["a@example.com"] = "450 mailbox busy"
        send("a@example.com")
        drain()
        delays = [self.delay(rows()[-1])]
        for _ in range(9):
            drain_later()
            delays.append(self.delay(rows()[-1]))

        self.assertEqual(delays[:3], [30, 60, 120])
        self.assertEqual(delays[-2:], [LONGEST_RETRY_DELAY_SECONDS] * 2)
        self.assertEqual(rows()[-1].retries, RETRIES - 10)

    def delay(self, row):
        return round((row.due - row.created).total_seconds())

    def test_a_refusal_of_every_recipient_for_good_ends_the_retries(self):
        self.server.replies = {"a@example.com": "550 no such user", "b@example.com": "553 never"}
        send("a@example.com", "b@example.com")

        drain()

        [row] = rows()
        self.assertEqual(row.state, "FAILED")
        self.assertIn("permanently refused", row.error)
        self.assertIn("no such user", row.error)

    def test_a_message_refused_for_good_ends_the_retries(self):
        self.server.data_replies["a@example.com"] = "552 too large"
        send("a@example.com")

        drain()

        self.assertEqual([row.state for row in rows()], ["FAILED"])

    def test_a_sender_refused_for_good_ends_the_retries(self):
        self.server.senders["me@example.com"] = "550 we know you"
        send("a@example.com")

        drain()

        self.assertEqual([row.state for row in rows()], ["FAILED"])

    def test_a_demand_for_credentials_is_tried_again(self):
        self.server.senders["me@example.com"] = "530 authentication required"
        send("a@example.com")
        drain()
        self.server.senders.clear()

        drain_later()

        self.assertEqual(self.server.subjects, ["s"])

    def test_refused_now_by_one_and_for_good_by_the_other_it_is_tried_again(self):
        self.server.replies = {"a@example.com": "550 no such user", "b@example.com": ["450 busy"]}
        send("a@example.com", "b@example.com")
        drain()
        self.assertEqual([row.state for row in rows()], ["FAILED", "SLEEPING"])

        drain_later()

        self.assertEqual(self.server.messages[0].envelope.rcpt_tos, ["b@example.com"])

    def test_one_of_several_recipients_refused_leaves_the_message_sent(self):
        self.server.replies = {"a@example.com": "550 no such user"}
        send("a@example.com", "b@example.com")

        drain()

        self.assertEqual([row.state for row in rows()], ["SUCCEEDED"])
        self.assertEqual(len(self.server.messages), 1)

    def test_a_dropped_connection_is_tried_again(self):
        self.server.data_replies["a@example.com"] = ["drop"]
        send("a@example.com")
        drain()
        self.assertEqual(self.server.messages, [])

        drain_later()

        self.assertEqual(self.server.subjects, ["s"])

    def test_what_was_sent_is_not_sent_again_with_what_failed(self):
        self.server.data_replies["b@example.com"] = ["451 try later"]
        send_to_each("a@example.com", "b@example.com", "c@example.com")
        drain()
        self.assertEqual(self.server.subjects, ["to a@example.com", "to c@example.com"])
        self.assertEqual(waiting(), [[["b@example.com"]]])
        self.assertIn("2 of 3 sent, the others queued again after SMTPDataError", rows()[0].result)

        drain_later()

        self.assertEqual(
            sorted(self.server.subjects),
            ["to a@example.com", "to b@example.com", "to c@example.com"],
        )

    def test_what_is_refused_for_good_among_others_ends_in_a_row_of_its_own(self):
        self.server.replies["b@example.com"] = "550 no such user"
        send_to_each("a@example.com", "b@example.com", "c@example.com")
        drain()

        drain_later()

        self.assertEqual([row.state for row in rows()], ["SUCCEEDED", "FAILED"])
        self.assertEqual(messages_of(rows()[1])[0]["to"], ["b@example.com"])
        self.assertEqual(len(self.server.messages), 2)

    def test_after_a_lost_connection_the_others_go_out_over_a_fresh_one(self):
        self.server.data_replies["b@example.com"] = ["drop"]
        send_to_each("a@example.com", "b@example.com", "c@example.com")

        drain()

        self.assertEqual(self.server.subjects, ["to a@example.com", "to c@example.com"])
        self.assertEqual(self.server.connections, 2)
        self.assertEqual(waiting(), [[["b@example.com"]]])

    def test_a_server_that_wants_a_fresh_connection_gets_one(self):
        self.server.data_replies["b@example.com"] = ["421 too many messages"]
        send_to_each("a@example.com", "b@example.com", "c@example.com")

        drain()

        self.assertEqual(self.server.subjects, ["to a@example.com", "to c@example.com"])

    def test_two_lost_connections_in_a_row_end_the_attempt(self):
        for name in ("b@example.com", "c@example.com"):
            self.server.data_replies[name] = ["drop"]
        send_to_each("a@example.com", "b@example.com", "c@example.com", "d@example.com")
        drain()
        self.assertEqual(self.server.subjects, ["to a@example.com"])
        self.assertEqual(len(waiting()), 3)

        drain_later()

        self.assertEqual(len(self.server.subjects), 4)
        self.assertEqual(len(set(self.server.subjects)), 4)

    def test_a_message_that_always_fails_holds_up_no_other(self):
        self.server.data_replies["a@example.com"] = "drop"
        self.server.data_replies["b@example.com"] = "drop"
        send_to_each("a@example.com", "b@example.com", "c@example.com")
        drain()

        drain_later()

        self.assertEqual(self.server.subjects, ["to c@example.com"])


@installed
class OutageTests(TestCase):
    def test_without_a_server_the_whole_call_is_tried_again(self):
        with queueing(sender=SMTP, options={"host": "127.0.0.1", "port": free_port()}):
            send_to_each("a@example.com", "b@example.com")
            drain()
        self.assertIn("ConnectionRefusedError", rows()[0].error)
        self.assertEqual(waiting(), [[["a@example.com"], ["b@example.com"]]])

        with MailServer() as server, queueing(sender=SMTP, options=server.options):
            drain_later()

        self.assertEqual(len(server.messages), 2)

    def test_a_sending_backend_that_fails_silently_is_made_to_speak(self):
        silent = "tests.contrib.mail.SilentSMTP"
        with queueing(sender=silent, options={"host": "127.0.0.1", "port": free_port()}):
            send("a@example.com")

            drain()

        self.assertEqual([row.state for row in rows()], ["FAILED", "SLEEPING"])

    def test_the_settings_of_django_52_reach_the_server_without_a_warning(self):
        with MailServer() as server:
            port = server.controller.port
            with queueing_without_mailers(sender=SMTP, EMAIL_HOST="127.0.0.1", EMAIL_PORT=port):
                with without_deprecations():
                    send("a@example.com")

                drain()

        self.assertEqual(server.subjects, ["s"])
